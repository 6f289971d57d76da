"""Patches of images that are too large to shrink: where they lie, which are drawn, and their pixels.

Training draws patches at random. Prediction and validation cover an image by the tiles of a sliding window. Both have h×w pixels
and lie inside the image, moved there if needed. Along an axis on which the image is smaller, they lie around its middle, and what
they show beyond the image is its mirror image, with the mask at 255 (ignore).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment import apply as transform
from delineate.data.augment import geometry
from delineate.data.augment.settings import AugmentParameters
from delineate.data.core.intensity import Limits
from delineate.data.core.manifest import IGNORE

__all__ = [
    "OVERLAP",
    "BlockContents",
    "Contents",
    "Corner",
    "Size",
    "augmented",
    "cut",
    "draw",
    "reach",
    "starts",
    "tiles",
]

Corner = tuple[int, int]
"""Row and column of the upper left pixel of a patch or tile; negative where it is larger than the image."""
Size = tuple[int, int]
"""Height and width."""

OVERLAP = 0.5
"""Share of its side by which a tile overlaps the next where nothing else is asked for."""
_MARGIN = 2
"""Pixels beyond a warped patch's outline that linear interpolation may read."""


@dataclass(frozen=True)
class Contents:
    """What has to be known of a whole image to draw patches of it and to scale their intensities."""

    limits: Limits
    """The values that become 0 and 1 (`InputSpec.limits_for_patches`)."""
    rows: NDArray[np.int64]
    """H×K: pixels of foreground class 1 … K in this row and all above it."""

    @classmethod
    def of(cls, limits: Limits, mask: NDArray[np.uint8], classes: int) -> Contents:
        """`limits`: of the whole image; `classes`: number K of foreground classes."""
        counts = [np.count_nonzero(mask == index, axis=1) for index in range(1, classes + 1)]
        return cls(limits, np.cumsum(np.stack(counts, axis=1), axis=0, dtype=np.int64))

    @property
    def totals(self) -> NDArray[np.int64]:
        """Pixels of each foreground class."""
        totals: NDArray[np.int64] = self.rows[-1]
        return totals

    def pixel(self, mask: Any, index: int, number: int) -> Corner:
        """Row and column of the pixel with that number, from 0, among those of foreground class `index` + 1."""
        upto = self.rows[:, index]
        row = int(np.searchsorted(upto, number, side="right"))
        before = int(upto[row - 1]) if row else 0
        return row, int(np.flatnonzero(mask[row] == index + 1)[number - before])

    def anywhere(self, mask: Any, row: int, column: int) -> Corner:
        """The pixel that stands for one that was drawn of all: itself."""
        return row, column


@dataclass(frozen=True)
class BlockContents:
    """The same of a picture that is read by windows: what its blocks hold, so that one window of its mask finds a pixel."""

    limits: Limits
    side: int
    """Of a block, in pixels; those at the right and lower edge are smaller."""
    blocks: NDArray[np.int64]
    """Rows × columns of blocks × K: pixels of foreground class 1 … K."""
    shown: NDArray[np.bool_]
    """Rows × columns of blocks: whether they show anything but empty glass."""

    @cached_property
    def totals(self) -> NDArray[np.int64]:
        """Pixels of each foreground class."""
        totals: NDArray[np.int64] = self.blocks.sum((0, 1))
        return totals

    @cached_property
    def _upto(self) -> NDArray[np.int64]:
        return np.cumsum(self.blocks.reshape(-1, self.blocks.shape[2]), axis=0)

    @cached_property
    def _places(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.shown)

    def pixel(self, mask: Any, index: int, number: int) -> Corner:
        """As `Contents.pixel`, in the order of blocks. Reads a block of the mask."""
        upto = self._upto[:, index]
        block = int(np.searchsorted(upto, number, side="right"))
        before = int(upto[block - 1]) if block else 0
        top, left = (self.side * at for at in divmod(block, self.blocks.shape[1]))
        part = mask[top : top + self.side, left : left + self.side]
        row, column = divmod(int(np.flatnonzero(part == index + 1)[number - before]), part.shape[1])
        return top + row, left + column

    def anywhere(self, mask: Any, row: int, column: int) -> Corner:
        """The pixel that stands for one that was drawn of all: in glass, one at the same place in a block that shows something."""
        across = self.shown.shape[1]
        block = row // self.side * across + column // self.side
        if self.shown.all() or not self.shown.any() or self.shown.ravel()[block]:
            return row, column
        other = int(self._places[(row * mask.shape[1] + column) % len(self._places)])
        top, left = (self.side * at for at in divmod(other, across))
        height, width = mask.shape
        return min(top + row % self.side, height - 1), min(left + column % self.side, width - 1)


def tiles(image: Size, tile: Size, overlap: float = OVERLAP) -> list[Corner]:
    """The tiles of a sliding window over an image, row by row. Neighbors overlap by that share of a side, or a little more."""
    rows, columns = (starts(length, side, overlap) for length, side in zip(image, tile, strict=True))
    return [(top, left) for top in rows for left in columns]


def starts(length: int, tile: int, overlap: float = OVERLAP) -> list[int]:
    """Where tiles begin along one axis, evenly spread."""
    excess = length - tile
    if excess <= 0:
        return [excess // 2]
    gaps = -(-excess // max(1, int(tile * (1 - overlap))))
    return [excess * number // gaps for number in range(gaps + 1)]


def draw(
    rng: np.random.Generator,
    mask: Any,
    contents: Contents | BlockContents,
    size: Size,
    share: float,
    *,
    label: int | None = None,
) -> Corner:
    """The corner of a random patch: centered on any pixel, or, with probability `share`, on one of a foreground class.

    That is the class `label`; without one, those that are present are equally likely. Without foreground, any pixel is the center;
    of a slide that is read by windows, any that is not in empty glass.
    """
    height, width = mask.shape
    row, column = int(rng.integers(height)), int(rng.integers(width))
    totals = contents.totals
    if rng.random() < share and totals.any():
        present = np.flatnonzero(totals) if label is None else [label - 1]
        index = int(present[rng.integers(len(present))])
        row, column = contents.pixel(mask, index, int(rng.integers(totals[index])))
    else:
        row, column = contents.anywhere(mask, row, column)
    return _inside(row, height, size[0]), _inside(column, width, size[1])


def cut(pixels: Any, corner: Corner, size: Size, outside: int | None = None) -> Any:
    """A patch h×w(×C) of an image H×W(×C); beyond the image its mirror image, or the value `outside`."""
    (top, left), (height, width) = corner, size
    inner = pixels[max(0, top) : top + height, max(0, left) : left + width]
    if inner.shape[:2] == size:
        return inner
    above, before = max(0, -top), max(0, -left)
    below, after = height - above - inner.shape[0], width - before - inner.shape[1]
    border = cv2.BORDER_REFLECT_101 if outside is None else cv2.BORDER_CONSTANT
    padded = cv2.copyMakeBorder(inner, above, below, before, after, border, value=outside or 0)
    return padded.reshape(*size, *pixels.shape[2:])


def augmented(
    image: Any, mask: NDArray[np.uint8], corner: Corner, size: Size, parameters: AugmentParameters
) -> tuple[Any, NDArray[np.uint8]]:
    """`apply` to a patch of an image. Pixels of the image outside the patch can be turned or moved into it.

    The parameters' border is not used: see the top of this file.
    """
    if geometry.interpolates(parameters):
        matrix = geometry.matrix(parameters, size) @ _shift(corner)
        where = geometry.sampling(parameters, matrix, size)
        image = geometry.warp(image, where, size, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101)
        mask = geometry.warp(mask, where, size, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, IGNORE)
    else:
        image, mask = cut(image, corner, size), cut(mask, corner, size, IGNORE)
        image, mask = geometry.moved(image, mask, parameters)
    return transform.photometric(image, parameters), mask


def reach(image: Size, corner: Corner, size: Size, parameters: AugmentParameters) -> tuple[slice, slice]:
    """Rows and columns of the image that `augmented` reads. That part alone, with the corner moved along, gives the same patch."""
    low, high = np.array(corner, float), np.array(corner, float) + size - 1
    if geometry.interpolates(parameters):
        matrix = geometry.matrix(parameters, size) @ _shift(corner)
        moved = geometry.max_displacement(parameters)
        left, top, right, bottom = -moved, -moved, size[1] - 1 + moved, size[0] - 1 + moved
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


def _inside(center: int, length: int, side: int) -> int:
    """The start of a patch centered on `center`, moved into the image."""
    if length <= side:
        return (length - side) // 2
    return min(max(0, center - side // 2), length - side)


def _shift(corner: Corner) -> NDArray[np.float64]:
    """3×3: from the image's pixel coordinates to the patch's."""
    return np.array([[1.0, 0.0, -corner[1]], [0.0, 1.0, -corner[0]], [0.0, 0.0, 1.0]])
