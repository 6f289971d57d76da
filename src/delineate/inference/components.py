"""The connected components of a mask, by NumPy alone: runs of pixels along the last axis are joined where they touch."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["components"]

_Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def components(mask: NDArray[np.bool_], *, by_faces: bool = False) -> tuple[NDArray[np.int32], int]:
    """Number the components of a mask.

    Args:
        mask: H×W or X×Y×Z.
        by_faces: Whether pixels touch by whole faces alone (4 or 6 neighbors), and not at corners and edges, too (8 or 26).

    Returns:
        Labels of the mask's shape: 0 outside, and the components from 1 on, in the order of their first pixels; and their number.

    Example:
        >>> from delineate.inference.components import components
        >>> labels, count = components(np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]], bool))
        >>> count, labels.tolist()
        (2, [[1, 0, 1], [0, 1, 0], [0, 0, 0], [2, 2, 2]])
    """
    runs = _Runs(mask)
    margin = 0 if by_faces else 1
    pairs = [runs.touching(step, margin) for step in _earlier_rows(mask.ndim - 1, by_faces)]
    roots = _joined(len(runs.first), pairs)
    _, label = np.unique(roots, return_inverse=True)  # a component's root is its first run
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = np.repeat(label.astype(np.int32) + 1, runs.last - runs.first + 1)
    return labels, int(label.max()) + 1 if len(label) else 0


class _Runs:
    """The runs of a mask, in the array's order: `row` counts the lines along the last axis, `first` and `last` lie on it."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.rows, width = mask.shape[:-1], mask.shape[-1]
        edges = np.zeros((int(np.prod(self.rows)), width + 2), np.int8)
        edges[:, 1:-1] = mask.reshape(-1, width)
        steps = np.diff(edges, axis=1)
        self.row, self.first = np.nonzero(steps == 1)
        self.last = np.nonzero(steps == -1)[1] - 1
        self._stride = width + 4  # a margin on both sides, so that places of two rows are never taken for each other

    def touching(self, step: tuple[int, ...], margin: int) -> _Pairs:
        """Pairs (run, run in the row that lies so many steps away) that overlap, or are apart by less than `margin` + 1."""
        place = [index + by for index, by in zip(np.unravel_index(self.row, self.rows), step, strict=True)]
        inside = np.ones(len(self.row), bool)
        for index, length in zip(place, self.rows, strict=True):
            inside &= (index >= 0) & (index < length)
        ours = np.flatnonzero(inside)
        there = np.ravel_multi_index([index[ours] for index in place], self.rows) * self._stride + 2
        starts, ends = (self.row * self._stride + 2 + edge for edge in (self.first, self.last))
        lowest = np.searchsorted(ends, there + self.first[ours] - margin, "left")
        number = np.maximum(np.searchsorted(starts, there + self.last[ours] + margin, "right") - lowest, 0)
        before = np.cumsum(number) - number
        theirs = np.arange(int(number.sum())) - np.repeat(before, number) + np.repeat(lowest, number)
        return np.repeat(ours, number), theirs


def _earlier_rows(axes: int, by_faces: bool) -> list[tuple[int, ...]]:
    """Steps to the neighboring rows that come before a row; those after it have it among theirs."""
    steps = [step for step in product((-1, 0, 1), repeat=axes) if step < (0,) * axes]
    return [step for step in steps if sum(map(abs, step)) == 1] if by_faces else steps


def _joined(number: int, pairs: list[_Pairs]) -> NDArray[np.int64]:
    """The first run of each run's component."""
    root = np.arange(number)
    one, other = (
        (np.concatenate(side) if side else root[:0] for side in zip(*pairs, strict=True)) if pairs else (root[:0],) * 2
    )
    while len(one):
        above, below = np.maximum(root[one], root[other]), np.minimum(root[one], root[other])
        np.minimum.at(root, above, below)
        while ((up := root[root]) != root).any():
            root = up
        apart: NDArray[Any] = root[one] != root[other]
        one, other = one[apart], other[apart]
    return root
