"""Sliding window inference: the probabilities of an image from those of its tiles, which overlap (by half, unless asked otherwise).

They are averaged with Gaussian weights around the center of each tile. The grid of tiles and the Gaussian are both separable, so
the weights are normalized to a sum of 1 on each axis. Where there is only one tile, its weight is exactly 1. Only the rows that
later tiles still add to are kept in memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.patches import OVERLAP, Size, starts, tiles
from delineate.inference.segmenter import Probabilities

__all__ = ["TileBlender", "gaussian", "weights"]

_SIGMA = 1 / 8
"""Standard deviation of the Gaussian, in tile sides. At the border of a tile its value is 0.0003, never 0."""


class TileBlender:
    """Blends the tiles of one image, given in the order of `data.augment.patches.tiles`; returns rows once they are complete."""

    def __init__(self, image: Size, tile: Size, overlap: float = OVERLAP) -> None:
        self.corners = tiles(image, tile, overlap)
        self._image, self._tile = image, tile
        self._tops, self._lefts = (starts(length, side, overlap) for length, side in zip(image, tile, strict=True))
        self._down = weights(image[0], tile[0], overlap)
        self._across = weights(image[1], tile[1], overlap)
        self._added = 0
        self._finished = 0
        self._open: Probabilities | None = None

    def add(self, tile: Probabilities) -> Probabilities | None:
        """Add the next tile, K×h×w → the rows K×r×W that are complete now; None if there are none."""
        row, column = divmod(self._added, len(self._lefts))
        self._added += 1
        top, left = self._tops[row], self._lefts[column]
        rows, columns = _covered(top, self._image[0], self._tile[0]), _covered(left, self._image[1], self._tile[1])
        part = tile[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        if self._open is None:
            height = min(self._image[0], self._tile[0])
            self._open = np.zeros((len(tile), height, self._image[1]), np.float32)
        self._open[:, :, columns] += part * self._down[row][:, None] * self._across[column]
        return self._close(row) if column == len(self._lefts) - 1 else None

    def _close(self, row: int) -> Probabilities:
        """The rows that no later tile adds to; the others move up. Costs two copies of the open rows."""
        assert self._open is not None
        end = self._tops[row + 1] if row + 1 < len(self._tops) else self._image[0]
        count = end - self._finished
        done = self._open[:, :count].copy()
        kept = self._open.shape[1] - count
        self._open[:, :kept] = self._open[:, count:].copy()
        self._open[:, kept:] = 0
        self._finished = end
        return done


def weights(length: int, tile: int, overlap: float = OVERLAP) -> list[NDArray[np.float32]]:
    """For each tile along an axis, the weights of its pixels inside the image; over all tiles they sum to 1 at each pixel."""
    places = [_covered(start, length, tile) for start in starts(length, tile, overlap)]
    raw = [gaussian(tile)[: covered.stop - covered.start] for covered in places]
    total = np.zeros(length)
    for covered, values in zip(places, raw, strict=True):
        total[covered] += values
    return [(values / total[covered]).astype(np.float32) for covered, values in zip(places, raw, strict=True)]


def gaussian(tile: int) -> NDArray[np.float64]:
    """The weights of a tile's pixels along one axis, 1 in the middle."""
    offset = (np.arange(tile) - (tile - 1) / 2) / (_SIGMA * tile)
    return np.exp(-0.5 * offset**2)


def _covered(start: int, length: int, tile: int) -> slice:
    """The pixels of the image that a tile lies on."""
    return slice(max(0, start), min(length, start + tile))
