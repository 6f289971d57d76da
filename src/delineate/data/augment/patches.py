"""Windows of images that are too large to shrink: where they lie, which are drawn, and their pixels.

A window of h×w pixels lies inside its image, moved there where need be; along an axis on which the image is the smaller of the two
it lies around the image's middle. What it sees beyond the image is the mirror image, with the mask at 255 (ignore).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment import apply as transform
from delineate.data.augment import geometry
from delineate.data.augment.settings import AugmentParameters
from delineate.data.core.intensity import Limits
from delineate.data.core.manifest import IGNORE

Corner = tuple[int, int]
"""Row and column of a window's upper left pixel; negative where the window is larger than the image."""
Size = tuple[int, int]
"""Height and width."""

_MARGIN = 2
"""Pixels beyond a warped window's outline that linear interpolation may read."""


@dataclass(frozen=True)
class Contents:
    """What drawing windows of an image, and scaling their intensities, asks of the whole image."""

    limits: Limits
    """The values that become 0 and 1 (`InputSpec.limits_for_windows`)."""
    rows: NDArray[np.int64]
    """H×K: pixels of foreground class 1 … K in this row and all above it."""

    @classmethod
    def of(cls, limits: Limits, mask: NDArray[np.uint8], classes: int) -> Contents:
        """`limits`: of the whole image; `classes`: number K of foreground classes."""
        counts = [np.count_nonzero(mask == index, axis=1) for index in range(1, classes + 1)]
        return cls(limits, np.cumsum(np.stack(counts, axis=1), axis=0, dtype=np.int64))


def tiles(image: Size, window: Size) -> list[Corner]:
    """Windows that cover an image, neighbors overlapping by half or a little more, row by row from its upper left corner."""
    rows, columns = (starts(length, side) for length, side in zip(image, window, strict=True))
    return [(top, left) for top in rows for left in columns]


def starts(length: int, window: int) -> list[int]:
    """Where windows begin along one axis, evenly spread."""
    excess = length - window
    if excess <= 0:
        return [excess // 2]
    gaps = -(-excess // max(1, window // 2))
    return [excess * number // gaps for number in range(gaps + 1)]


def draw(rng: np.random.Generator, mask: NDArray[np.uint8], contents: Contents, window: Size, share: float) -> Corner:
    """A random window of an image: about any of its pixels, or, with probability `share`, about a pixel of one of the foreground
    classes present, each class being as likely. Without foreground, about any pixel."""
    height, width = mask.shape
    row, column = int(rng.integers(height)), int(rng.integers(width))
    totals = contents.rows[-1]
    if rng.random() < share and totals.any():
        present = np.flatnonzero(totals)
        index = int(present[rng.integers(len(present))])
        number = int(rng.integers(totals[index]))
        upto = contents.rows[:, index]
        row = int(np.searchsorted(upto, number, side="right"))
        before = int(upto[row - 1]) if row else 0
        column = int(np.flatnonzero(mask[row] == index + 1)[number - before])
    return _inside(row, height, window[0]), _inside(column, width, window[1])


def cut(pixels: Any, corner: Corner, window: Size, outside: int | None = None) -> Any:
    """The pixels H×W(×C) under a window, h×w(×C); beyond the image its mirror image, or the value `outside`."""
    (top, left), (height, width) = corner, window
    inner = pixels[max(0, top) : top + height, max(0, left) : left + width]
    if inner.shape[:2] == window:
        return inner
    above, before = max(0, -top), max(0, -left)
    below, after = height - above - inner.shape[0], width - before - inner.shape[1]
    border = cv2.BORDER_REFLECT_101 if outside is None else cv2.BORDER_CONSTANT
    padded = cv2.copyMakeBorder(inner, above, below, before, after, border, value=outside or 0)
    return padded.reshape(*window, *pixels.shape[2:])


def augmented(
    image: Any, mask: NDArray[np.uint8], corner: Corner, window: Size, parameters: AugmentParameters
) -> tuple[Any, NDArray[np.uint8]]:
    """`transform.apply` to a window of an image, whose pixels outside the window are there to be turned or moved into it.

    The parameters' border is not used: see the top of this file.
    """
    if geometry.interpolates(parameters):
        matrix = geometry.matrix(parameters, window) @ _shift(corner)
        where = geometry.sampling(parameters, matrix, window)
        image = geometry.warp(image, where, window, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101)
        mask = geometry.warp(mask, where, window, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, IGNORE)
    else:
        image, mask = cut(image, corner, window), cut(mask, corner, window, IGNORE)
        image, mask = geometry.moved(image, mask, parameters)
    return transform.photometric(image, parameters), mask


def reach(image: Size, corner: Corner, window: Size, parameters: AugmentParameters) -> tuple[slice, slice]:
    """Rows and columns of the image that `augmented` reads. That part alone, with the corner moved along, gives the same window."""
    low, high = np.array(corner, float), np.array(corner, float) + window - 1
    if geometry.interpolates(parameters):
        matrix = geometry.matrix(parameters, window) @ _shift(corner)
        moved = geometry.furthest(parameters)
        left, top, right, bottom = -moved, -moved, window[1] - 1 + moved, window[0] - 1 + moved
        outline = np.array([[left, top], [right, top], [left, bottom], [right, bottom]], float)
        source = np.linalg.solve(matrix[:, :2], (outline - matrix[:, 2]).T)[::-1]
        low, high = source.min(1) - _MARGIN, source.max(1) + _MARGIN
    return _mirrored(low[0], high[0], image[0]), _mirrored(low[1], high[1], image[1])


def _mirrored(low: float, high: float, length: int) -> slice:
    """The pixels between two places of an axis, those beyond its ends at their mirrored places."""
    last = length - 1
    first, final = max(low, 0.0), min(high, float(last))
    if low < 0:
        first, final = 0.0, max(final, -low)
    if high > last:
        first, final = min(first, 2 * last - high), float(last)
    start, stop = max(0, math.floor(first)), min(last, math.ceil(final)) + 1
    return slice(min(start, last), max(stop, 1))


def _inside(center: int, length: int, window: int) -> int:
    """The start of the window about `center`, moved into the image."""
    if length <= window:
        return (length - window) // 2
    return min(max(0, center - window // 2), length - window)


def _shift(corner: Corner) -> NDArray[np.float64]:
    """3×3: from the image's frame to the window's."""
    return np.array([[1.0, 0.0, -corner[1]], [0.0, 1.0, -corner[0]], [0.0, 0.0, 1.0]])
