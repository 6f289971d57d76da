"""A volume in one picture: three planes through the middle of the reference, and the slices with the most errors.

Millimeters are equal in all directions, whatever the spacing; planes have radiological orientation (`contact_sheet.turned`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.core.manifest import IGNORE, ClassTable
from delineate.inference.contact_sheet import turned, with_caption
from delineate.inference.overlay import draw

__all__ = ["PLANES", "STORED", "center_of", "draw_three_planes", "worst_slices"]

PLANES: Final = ("sagittal", "coronal", "axial")
"""What slices across each canonical axis are called."""
STORED: Final = ("row", "column", "plane")
"""The same of volumes that tell no place in the patient."""
_LONGEST = 320
"""Pixels of the volume's longest side."""
_SHORTEST = 48
"""A plane of a flat volume is shown with at least so many pixels a side, however thin it is."""
_WORST, _GAP, _BETWEEN, _TEXT = 3, 4, 60, 0.6
"""Slices; pixels between tiles, and their gray; size of captions."""


@dataclass(frozen=True)
class _Volume:
    """In the canonical order."""

    image: NDArray[np.uint8]
    """X×Y×Z, or X×Y×Z×3."""
    prediction: NDArray[np.uint8]
    reference: NDArray[np.uint8] | None
    spacing: tuple[float, float, float]
    classes: ClassTable
    placed: bool

    def tile(self, axis: int, index: int, caption: str) -> NDArray[np.uint8]:
        """A plane with contours, its pixels square."""
        rows, columns = (self.image.shape[one] * self.spacing[one] for one in _plane_axes(axis, self.placed))
        scale = _LONGEST / max(length * step for length, step in zip(self.image.shape, self.spacing, strict=False))
        height, width = (max(_SHORTEST, round(length * scale)) for length in (rows, columns))

        def plane(volume: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
            seen = np.take(volume, index, axis)
            return np.asarray(cv2.resize(turned(seen, self.placed), (width, height), interpolation=how), np.uint8)

        masks = [None if one is None else plane(one, cv2.INTER_NEAREST) for one in (self.prediction, self.reference)]
        drawn = draw(plane(self.image, cv2.INTER_LINEAR), masks[0], masks[1], self.classes)
        return with_caption(drawn, caption, _TEXT)


def draw_three_planes(
    image: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    classes: ClassTable,
    spacing: tuple[float, float, float],
    reference: NDArray[np.uint8] | None = None,
    number: Callable[[int, int], int] = lambda _, index: index,
    *,
    placed: bool = True,
) -> NDArray[np.uint8]:
    """Axial, coronal and sagittal plane through the middle of the reference; below, the slices with the most errors.

    Args:
        image: X×Y×Z or X×Y×Z×channels, in canonical order.
        prediction: Class indices X×Y×Z.
        classes: Their names.
        spacing: Of its voxels in mm.
        reference: Class indices; 255 = ignore. None: the planes go through the middle of the prediction, and no errors are known.
        number: Axis and index of a slice → its number in the file, for the captions.
        placed: Whether the file tells where in the patient the volume lies; else its pages are shown as they are.

    Returns:
        RGB.
    """
    if image.ndim == 4:  # pictures have one channel or three colors
        image = image[..., :3] if image.shape[3] >= 3 else image[..., 0]
    volume = _Volume(image, prediction, reference, spacing, classes, placed)
    center = center_of(prediction if reference is None else reference, prediction)

    def name(axis: int, index: int) -> str:
        return f"{(PLANES if placed else STORED)[axis]} {number(axis, index)}"

    rows = [[volume.tile(axis, center[axis], name(axis, center[axis])) for axis in (2, 1, 0)]]
    if reference is not None:
        axis = int(max(range(3), key=lambda one: (spacing[one] >= 0.99 * max(spacing), one)))
        worst = worst_slices(prediction, reference, axis)
        rows.append([volume.tile(axis, at, f"{name(axis, at)}: {wrong} wrong") for at, wrong in worst])
    return _stacked(rows)


def center_of(mask: NDArray[np.uint8], otherwise: NDArray[np.uint8]) -> tuple[int, int, int]:
    """The voxel in the middle of a mask's foreground; of an empty one, of that of the other; else the middle of the volume."""
    for one in (mask, otherwise):
        found = np.nonzero((one > 0) & (one != IGNORE))
        if len(found[0]):
            return tuple(round(float(np.mean(places))) for places in found)  # type: ignore[return-value]
    return tuple(length // 2 for length in mask.shape)


def worst_slices(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], axis: int, most: int = _WORST
) -> list[tuple[int, int]]:
    """The slices across an axis with the most wrong voxels, none beside another, in their order: (index, wrong voxels).

    Ignored voxels are not wrong. Of equally bad slices the first is taken.
    """
    wrong = ((prediction != reference) & (reference != IGNORE)).sum(tuple(one for one in range(3) if one != axis))
    chosen: list[int] = []
    for at in map(int, np.argsort(-wrong, kind="stable")):
        if len(chosen) < most and wrong[at] and all(abs(at - other) > 1 for other in chosen):
            chosen.append(at)
    return [(at, int(wrong[at])) for at in sorted(chosen)]


def _plane_axes(axis: int, placed: bool) -> tuple[int, int]:
    """The axes of the rows and of the columns of a slice as it is shown."""
    first, second = (one for one in range(3) if one != axis)
    return (second, first) if placed else (first, second)


def _stacked(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Tiles beside each other, rows below each other, on gray: images end where it begins."""
    lines = [row for row in rows if row]
    width = max(sum(tile.shape[1] + _GAP for tile in row) for row in lines) - _GAP
    height = sum(max(tile.shape[0] for tile in row) + _GAP for row in lines) - _GAP
    sheet: NDArray[np.uint8] = np.full((height, width, 3), _BETWEEN, np.uint8)
    top = 0
    for row in lines:
        left = 0
        for tile in row:
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            left += tile.shape[1] + _GAP
        top += max(tile.shape[0] for tile in row) + _GAP
    return sheet
