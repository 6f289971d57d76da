"""Resize a picture whose rows come one after the other, as OpenCV does with a whole one: areas where it shrinks, else linearly.

Each axis is a sparse matrix of weights, so that a few rows of the result need a few rows of the source, wherever they lie. Numbers
are those of `cv2.resize`, but bytes may differ by one where its fixed-point arithmetic rounds.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from delineate.data.augment.patches import Size
from delineate.data.core.input_spec import Pixels
from delineate.inference.segmenter import Probabilities

__all__ = ["ResizedPlanes", "ResizedRows", "RowSource", "axis_weights"]


class RowSource(Protocol):
    """Rows of a picture, from the top down."""

    @property
    def size(self) -> Size:
        """Height and width."""

    def between(self, first: int, last: int) -> Pixels:
        """Rows `first` … `last` (not included), r×W×C. `first` never goes back."""


def axis_weights(length: int, wanted: int, *, area: bool) -> sparse.csr_array:
    """wanted×length: how much each pixel of an axis adds to each of the resized one."""
    factor = length / wanted
    if area:
        edges = np.arange(wanted + 1) * factor
        first = np.floor(edges[:-1]).astype(np.int64)
        reach = int(np.ceil(factor)) + 1
        columns = first[:, None] + np.arange(reach)
        share = np.minimum(edges[1:, None], columns + 1) - np.maximum(edges[:-1, None], columns)
        share = np.where(columns < length, np.clip(share, 0, None), 0) / factor
    else:
        place = (np.arange(wanted) + 0.5) * factor - 0.5
        first = np.floor(place).astype(np.int64)
        columns = np.stack([first, first + 1], axis=1)
        share = np.stack([1 - (place - first), place - first], axis=1)
    rows = np.repeat(np.arange(wanted), columns.shape[1])
    columns = np.clip(columns, 0, length - 1).ravel()
    found = sparse.coo_array((share.ravel().astype(np.float32), (rows, columns)), shape=(wanted, length)).tocsr()
    found.eliminate_zeros()
    return found


class _Resizer:
    """The two matrices of a picture."""

    def __init__(self, source: Size, wanted: Size, *, area: bool) -> None:
        self.down = axis_weights(source[0], wanted[0], area=area)
        self.across = axis_weights(source[1], wanted[1], area=area)

    def needed(self, first: int, last: int) -> tuple[int, int]:
        """The rows of the source that rows of the result are made of."""
        found = self.down.indices[self.down.indptr[first] : self.down.indptr[last]]
        return int(found.min()), int(found.max()) + 1

    def rows(self, source: NDArray[np.float32], top: int, first: int, last: int) -> NDArray[np.float32]:
        """Rows of the result from r×W×C rows of the source, the first of which is its row `top`."""
        weights = self.down[first:last, top : top + len(source)]
        lower = (weights @ source.reshape(len(source), -1)).reshape(last - first, *source.shape[1:])
        flat = np.ascontiguousarray(np.moveaxis(lower, 1, 0)).reshape(source.shape[1], -1)
        return np.moveaxis((self.across @ flat).reshape(-1, last - first, *source.shape[2:]), 0, 1)


class ResizedRows:
    """The rows of a picture that is resized (`RowSource`), in the type of its numbers."""

    def __init__(self, source: RowSource, size: Size) -> None:
        self.size = size
        self._source = source
        shrinks = size[0] < source.size[0] or size[1] < source.size[1]
        self._resizer = _Resizer(source.size, size, area=shrinks)
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
            low, high = self._resizer.needed(top, end)
            band = self._source.between(low, high)
            values = self._resizer.rows(band.astype(np.float32), low, top, end)
            parts.append(np.rint(values).astype(band.dtype) if band.dtype.kind != "f" else values)
        return np.concatenate(parts)


_AT_ONCE = 64
"""Rows of the result that are held as floats."""


class ResizedPlanes:
    """Probabilities that come a few rows at a time, resized to the picture's own size."""

    def __init__(self, source: Size, wanted: Size) -> None:
        self._source, self._wanted = source, wanted
        shrinks = wanted[0] < source[0] and wanted[1] < source[1]
        self._resizer = _Resizer(source, wanted, area=shrinks)
        last = np.maximum.reduceat(self._resizer.down.indices, self._resizer.down.indptr[:-1])
        self._last = np.maximum.accumulate(last)
        """The last row of the source that each row of the result needs."""
        self._held: NDArray[np.float32] | None = None
        self._top = self._done = 0

    def add(self, rows: Probabilities) -> Probabilities | None:
        """The next rows K×r×w → the rows K×R×W that are complete now; None if there are none."""
        new = np.moveaxis(rows, 0, 2)
        self._held = new if self._held is None else np.concatenate([self._held, new])
        ready = int(np.searchsorted(self._last, self._top + len(self._held)))
        if ready == self._done:
            return None
        found = self._resizer.rows(self._held, self._top, self._done, ready)
        self._done = ready
        if ready < self._wanted[0]:
            first = min(self._resizer.needed(ready, ready + 1)[0], self._top + len(self._held))
            self._held, self._top = self._held[first - self._top :], first
        return np.ascontiguousarray(np.moveaxis(found, 2, 0))
