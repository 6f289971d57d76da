"""Do the probabilities mean what they say? Calibration error and Brier score over the valid pixels of a case.

Binary: one probability per pixel, of the foreground; several classes: one per class and pixel, which add up to 1. Lower is
better, without unit. Empty masks are scored like others, since every pixel has a probability; without a valid pixel the
value is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BINS",
    "Probabilities",
    "brier",
    "expected_calibration_error",
]

BINS = 15
"""Bins of equal width, as in Guo et al."""


@dataclass(frozen=True, eq=False)
class Probabilities:
    """The valid pixels of one case, in any order; make it with `of`."""

    values: NDArray[np.float64]
    """Of the foreground: n; or of each class: n×classes."""
    classes: NDArray[np.int64]
    """Class of each pixel in the reference, n."""

    @classmethod
    def of(
        cls, probabilities: NDArray[Any], reference: NDArray[Any], *, valid: NDArray[np.bool_] | None = None
    ) -> Probabilities:
        """Probabilities (reference's shape, or classes first: K×shape) with the reference's class indices.

        Raises `ValueError` for shapes that do not fit, probabilities outside 0…1 or NaN, and classes without a probability.
        """
        several = probabilities.ndim == reference.ndim + 1
        if probabilities.shape[several:] != reference.shape:
            raise ValueError(f"probabilities {probabilities.shape} do not fit reference {reference.shape}")
        kept = np.ones(reference.shape, bool) if valid is None else valid
        values = np.asarray(probabilities[..., kept].T, np.float64)
        classes = reference[kept].astype(np.int64)
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("probabilities outside 0…1, or not a number")
        if classes.size and not 0 <= classes.min() <= classes.max() < (values.shape[1] if several else 2):
            raise ValueError("the reference has classes without a probability")
        return cls(values, classes)


def expected_calibration_error(given: Probabilities) -> float:
    """Σ over bins of (pixels in the bin / all pixels) · |share that is right − mean probability|, in [0, 1].

    15 bins of equal width, (0, 1/15], (1/15, 2/15] …; 0 belongs to the first: Naeini et al., AAAI 2015; Guo et al., ICML 2017.
    Binary: the foreground's probability and the share of foreground. Several classes: the largest probability and the share of
    pixels whose class has it (of equal ones the lowest class).
    """
    if not given.classes.size:
        return math.nan
    if given.values.ndim == 1:
        stated, right = given.values, given.classes == 1
    else:
        stated, right = given.values.max(1), given.values.argmax(1) == given.classes
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], stated)
    gaps = np.bincount(bins, right, BINS) - np.bincount(bins, stated, BINS)
    return float(np.abs(gaps).sum() / stated.size)


def brier(given: Probabilities) -> float:
    """Mean squared difference of probability and truth: Brier, Monthly Weather Review 78 (1950) 1.

    Binary: mean of (p − y)² of the foreground, in [0, 1]. Several classes: mean over pixels of Σ over classes (p − y)², in
    [0, 2], as in Brier's paper; with two classes that is twice the binary value.
    """
    if not given.classes.size:
        return math.nan
    if given.values.ndim == 1:
        return float(((given.values - given.classes) ** 2).mean())
    truth = given.classes[:, None] == np.arange(given.values.shape[1])
    return float(((given.values - truth) ** 2).sum(1).mean())
