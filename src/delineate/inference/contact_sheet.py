"""A contact sheet of a volume: representative slices in one picture, with the contours of their masks and their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.core.manifest import ClassTable
from delineate.inference.overlay import draw

__all__ = ["MOST", "SHORTER", "draw_contact_sheet", "representative_slices", "turned", "with_caption"]

MOST = 9
"""Slices on a sheet."""
SHORTER = 192
"""Pixels of a slice's shorter side, at least."""
_GAP, _MARGIN = 4, 6


def draw_contact_sheet(
    image: NDArray[np.uint8],
    indices: NDArray[np.uint8],
    classes: ClassTable,
    numbers: Sequence[int],
    reference: NDArray[np.uint8] | None = None,
    *,
    placed: bool = True,
) -> NDArray[np.uint8]:
    """Slices D×H×W of a volume in canonical order, with their class indices and those of a reference → RGB.

    `numbers`: the number of each slice in the file. `placed`: as in `turned`.

    Slices have radiological orientation: the front or the head is above, and the patient's right (in sagittal
    slices, the front) is on the left.
    """
    tiles = []
    for at in representative_slices(indices, len(classes.names)):
        planes = [turned(stack[at], placed) for stack in (image, indices)]
        expected = None if reference is None else turned(reference[at], placed)
        tile = draw(planes[0], planes[1], expected, classes, shorter=SHORTER)
        tiles.append(with_caption(tile, f"slice {numbers[at]}"))
    return _joined(tiles)


def representative_slices(indices: NDArray[np.uint8], classes: int) -> list[int]:
    """Which slices of D×H×W class indices to show, ascending: the widest of each class, then others evenly over the extent of all
    classes; of a volume without any, the middle one."""
    areas = np.array([np.bincount(one.ravel(), minlength=classes)[1:] for one in indices])
    filled = np.flatnonzero(areas.any(1))
    if not filled.size:
        return [len(indices) // 2]
    order = np.argsort(-areas.sum(0), kind="stable")
    chosen = {int(areas[:, label].argmax()) for label in order[:MOST] if areas[:, label].any()}
    for count in range(MOST, 0, -1):
        spread = chosen | set(filled[np.linspace(0, len(filled) - 1, count).round().astype(int)].tolist())
        if len(spread) <= MOST:
            return sorted(spread)
    return sorted(chosen)


def turned(plane: NDArray[np.uint8], placed: bool = True) -> NDArray[np.uint8]:
    """A canonical slice (also with colors), with rows to the right or the front and columns to the front or the head → radiological
    orientation. Not `placed`: the file tells no place in the patient, and its pages are shown as they are."""
    return np.ascontiguousarray(plane.swapaxes(0, 1)[::-1, ::-1] if placed else plane)


def with_caption(tile: NDArray[np.uint8], text: str, scale: float = 0.45) -> NDArray[np.uint8]:
    """Text at the lower edge of RGB pixels, which are changed; smaller where it would not fit."""
    whole = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1, 1)[0][0]
    scale = min(scale, (tile.shape[1] - 2 * _MARGIN) / whole)
    for color, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        place = (_MARGIN, tile.shape[0] - _MARGIN)
        cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, width, cv2.LINE_AA)
    return tile


def _joined(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Tiles of one size, row by row in about a square."""
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    height, width = tiles[0].shape[:2]
    sheet = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), np.uint8)
    for at, tile in enumerate(tiles):
        top, left = (at // columns) * (height + _GAP), (at % columns) * (width + _GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet
