"""Groups of validation cases: drawn with replacement for intervals, and dealt into folds; both are seeded."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.calibration import Measured

__all__ = ["FOLDS", "Resampled", "folds_of", "interval"]

FOLDS: Final = 5
_RESAMPLES = 2000
_SEED = 0
_Floats = NDArray[np.float64]


class Resampled:
    """Groups of cases, drawn with replacement: the same draws for all that is measured on them."""

    def __init__(self, groups: Sequence[Hashable]) -> None:
        """`groups`: of each case."""
        names = list(dict.fromkeys(groups))
        self.codes = np.array([names.index(one) for one in groups])
        self.number = len(names)
        rng = np.random.default_rng(_SEED)
        drawn = rng.integers(0, self.number, (_RESAMPLES, self.number))
        self._times = np.stack([np.bincount(one, minlength=self.number) for one in drawn]).astype(np.float64)
        self._cases = np.bincount(self.codes, minlength=self.number)

    def means(self, values: _Floats) -> tuple[_Floats, _Floats]:
        """Of numbers cases×…: their mean over cases, and that of each resample."""
        sums = np.zeros((self.number, *values.shape[1:]))
        np.add.at(sums, self.codes, values)
        total = np.tensordot(self._times, sums, axes=1)
        counts = self._times @ self._cases
        return values.mean(0), total / counts.reshape(-1, *[1] * (values.ndim - 1))

    def interval(self, values: _Floats) -> Measured:
        """Of the mean of a number of each case."""
        return interval(*self.means(values))

    def standard_error(self, values: _Floats) -> float:
        """Of the mean over cases, by the means of groups."""
        sums = np.bincount(self.codes, values - values.mean(), self.number)
        spread = self.number / max(1, self.number - 1) * (sums**2).sum()
        return float(np.sqrt(spread) / len(values))


def interval(value: Any, resamples: _Floats) -> Measured:
    """By the percentiles of resamples."""
    low, high = np.percentile(resamples, [2.5, 97.5])
    return Measured(value=float(value), low=float(low), high=float(high))


def folds_of(codes: NDArray[Any]) -> NDArray[Any]:
    """The fold of each case: groups are shuffled once and dealt out."""
    number = int(codes.max()) + 1
    dealt = np.random.default_rng(_SEED).permutation(number) % min(FOLDS, number)
    return np.asarray(dealt[codes])
