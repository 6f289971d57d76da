"""Resize a picture whose rows come one after the other, as OpenCV does with a whole one: areas where it shrinks, else linearly.

Each pixel of an axis is made of a few of the source, so that a few rows of the result need a few rows of the source, wherever they
lie. Numbers are those of `cv2.resize`, but bytes may differ by one where its fixed-point arithmetic rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.input_spec import Pixels

__all__ = ["ResizedPlanes", "ResizedRows", "Resizer", "RowSource", "Weights"]

_Size = tuple[int, int]
"""Height and width."""


class RowSource(Protocol):
    """Rows of a picture, from the top down."""

    @property
    def size(self) -> _Size:
        """Height and width."""

    def between(self, first: int, last: int) -> Pixels:
        """Rows `first` … `last` (not included), r×W×C. `first` never goes back."""


@dataclass(frozen=True)
class Weights:
    """What each pixel of a resized axis is made of: `shares` n×k of the source's pixels `places` n×k, in ascending order."""

    places: NDArray[np.int64]
    shares: NDArray[np.float32]

    @classmethod
    def of(cls, length: int, wanted: int, *, area: bool) -> Self:
        """From `length` pixels to `wanted`."""
        factor = length / wanted
        if area:
            edges = np.arange(wanted + 1) * factor
            first = np.floor(edges[:-1]).astype(np.int64)
            reach = int(np.ceil(factor)) + 1
            places = first[:, None] + np.arange(reach)
            shares = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
            shares = np.where(places < length, np.clip(shares, 0, None), 0) / factor
        else:
            place = (np.arange(wanted) + 0.5) * factor - 0.5
            first = np.floor(place).astype(np.int64)
            places = np.stack([first, first + 1], axis=1)
            shares = np.stack([1 - (place - first), place - first], axis=1)
        return cls(np.clip(places, 0, length - 1), shares.astype(np.float32))

    def needed(self, first: int, last: int) -> tuple[int, int]:
        """The pixels of the source that those of the result are made of: from, and to (not included)."""
        used = self.places[first:last][self.shares[first:last] > 0]
        return int(used.min()), int(used.max()) + 1

    @property
    def last(self) -> NDArray[np.int64]:
        """The last pixel of the source that each pixel of the result needs."""
        found: NDArray[np.int64] = np.where(self.shares > 0, self.places, 0).max(axis=1)
        return found

    def apply(self, source: NDArray[np.float32], top: int, first: int, last: int) -> NDArray[np.float32]:
        """Pixels `first` … `last` (not included) of the result along the first axis. `source`: its pixels from `top` on, at least
        those that are needed."""
        places = np.clip(self.places[first:last] - top, 0, len(source) - 1)  # beyond it lie shares of 0
        found = np.zeros((last - first, *source.shape[1:]), np.float32)
        for place, share in zip(places.T, self.shares[first:last].T, strict=True):
            found += source[place] * share.reshape(-1, *(1,) * (source.ndim - 1))
        return found


class Resizer:
    """The weights of a picture's two axes."""

    def __init__(self, source: _Size, wanted: _Size, *, area: bool) -> None:
        self.down = Weights.of(source[0], wanted[0], area=area)
        self._across = Weights.of(source[1], wanted[1], area=area)
        self._width = wanted[1]

    @classmethod
    def of(cls, source: _Size, wanted: _Size) -> Self:
        """By areas where a side shrinks, as `ResizedRows`."""
        return cls(source, wanted, area=wanted[0] < source[0] or wanted[1] < source[1])

    def needed(self, rows: slice, columns: slice) -> tuple[tuple[int, int], tuple[int, int]]:
        """The rows and columns of the source that a part of the result is made of: from, and to (not included)."""
        return self.down.needed(rows.start, rows.stop), self._across.needed(columns.start, columns.stop)

    def part(self, source: NDArray[np.float32], corner: _Size, rows: slice, columns: slice) -> NDArray[np.float32]:
        """A part of the result from h×w×C pixels of the source, of which the first lies at its row and column `corner`."""
        lower = self.down.apply(source, corner[0], rows.start, rows.stop)
        turned = np.ascontiguousarray(np.moveaxis(lower, 1, 0))
        return np.moveaxis(self._across.apply(turned, corner[1], columns.start, columns.stop), 0, 1)

    def rows(self, source: NDArray[np.float32], top: int, first: int, last: int) -> NDArray[np.float32]:
        """Rows of the result from r×W×C rows of the source, the first of which is its row `top`."""
        lower = self.down.apply(source, top, first, last)
        turned = np.ascontiguousarray(np.moveaxis(lower, 1, 0))
        return np.moveaxis(self._across.apply(turned, 0, 0, self._width), 0, 1)


class ResizedRows:
    """The rows of a picture that is resized (`RowSource`), in the type of its numbers."""

    def __init__(self, source: RowSource, size: _Size) -> None:
        self.size = size
        self._source = source
        shrinks = size[0] < source.size[0] or size[1] < source.size[1]
        self._resizer = Resizer(source.size, size, area=shrinks)
        self._held: Pixels | None = None
        self._top = 0

    def between(self, first: int, last: int) -> Pixels:
        """As `RowSource.between`. Each row is resized once."""
        if self._held is None:
            self._held, self._top = self._resized(first, last), first
        else:
            end = self._top + len(self._held)
            if end < last:
                start = max(first, end)
                kept = self._held[max(0, first - self._top) :]
                self._held = np.concatenate([kept, self._resized(start, last)])
                self._top = min(first, start) if len(kept) else start
        return self._held[first - self._top : last - self._top]

    def _resized(self, first: int, last: int) -> Pixels:
        parts = []
        for top in range(first, last, _AT_ONCE):
            end = min(last, top + _AT_ONCE)
            low, high = self._resizer.down.needed(top, end)
            band = self._source.between(low, high)
            values = self._resizer.rows(band.astype(np.float32), low, top, end)
            parts.append(np.rint(values).astype(band.dtype) if band.dtype.kind != "f" else values)
        return np.concatenate(parts)


_AT_ONCE = 64
"""Rows of the result that are held as floats."""


class ResizedPlanes:
    """NDArray[np.float32] that come a few rows at a time, resized to the picture's own size."""

    def __init__(self, source: _Size, wanted: _Size) -> None:
        self._source, self._wanted = source, wanted
        shrinks = wanted[0] < source[0] and wanted[1] < source[1]
        self._resizer = Resizer(source, wanted, area=shrinks)
        self._last = np.maximum.accumulate(self._resizer.down.last)
        """The last row of the source that each row of the result needs."""
        self._held: NDArray[np.float32] | None = None
        self._top = self._done = 0

    def add(self, rows: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The next rows K×r×w → the rows K×R×W that are complete now; None if there are none."""
        new = np.moveaxis(rows, 0, 2)
        self._held = new if self._held is None else np.concatenate([self._held, new])
        ready = int(np.searchsorted(self._last, self._top + len(self._held)))
        if ready == self._done:
            return None
        found = self._resizer.rows(self._held, self._top, self._done, ready)
        self._done = ready
        if ready < self._wanted[0]:
            first = min(self._resizer.down.needed(ready, ready + 1)[0], self._top + len(self._held))
            self._held, self._top = self._held[first - self._top :], first
        return np.ascontiguousarray(np.moveaxis(found, 2, 0))
