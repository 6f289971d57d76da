"""Values that are equal but for rounding are equal: 0.8 − 0.7 and 0.9 − 0.8 are a tie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Floats",
    "average_ranks",
    "average_ranks_of_many",
    "tidy",
]

Floats = NDArray[np.float64]
_DIGITS = 12
"""Compared digits, counted from the largest value's first."""


def tidy(values: Floats) -> Floats:
    """The values rounded to twelve digits of the largest, so that equal ones compare equal; NaN stays NaN."""
    largest = float(np.fmax.reduce(np.abs(values), axis=None, initial=0))
    if largest == 0:
        return values
    scale = 10.0 ** np.floor(np.log10(largest))
    return np.round(values / scale, _DIGITS) * scale


def average_ranks(values: Floats) -> Floats:
    """Ranks along the last axis, 1 = smallest, equal values share the average of their places. No NaN."""
    smaller = (values[..., :, None] > values[..., None, :]).sum(-1)
    equal = (values[..., :, None] == values[..., None, :]).sum(-1)
    return smaller + (equal + 1) / 2


def average_ranks_of_many(values: Floats) -> Floats:
    """As `average_ranks` for one long row, (n,), without the n×n comparison."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
