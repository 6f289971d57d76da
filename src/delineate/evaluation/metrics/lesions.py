"""Lesions found, missed and made up: connected components of the masks, each counting once whatever its size.

Pixels that touch, be it at a corner, belong to one lesion (8 neighbors in 2-D, 26 in 3-D). A lesion counts as met when a
share of its pixels above `share` lies in the other mask; with the default 0 one pixel is enough. One component may meet several.

All are in [0, 1] without unit, higher is better. Both masks empty → 1; a miss or a false positive → 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.evaluation.metrics.masks import Masks

__all__ = ["lesion_f1", "lesion_precision", "lesion_recall"]


def lesion_precision(masks: Masks, share: float = 0.0) -> float:
    """Met components of the prediction / all its components."""
    if not masks.both:
        return float(masks.outcome == "both_empty")
    return _met(*masks.cropped, share)


def lesion_recall(masks: Masks, share: float = 0.0) -> float:
    """Met components of the reference / all its components."""
    if not masks.both:
        return float(masks.outcome == "both_empty")
    return _met(*masks.cropped[::-1], share)


def lesion_f1(masks: Masks, share: float = 0.0) -> float:
    """2·precision·recall / (precision + recall) of lesions; 0 where both are."""
    precision, recall = lesion_precision(masks, share), lesion_recall(masks, share)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _met(mask: NDArray[np.bool_], other: NDArray[np.bool_], share: float) -> float:
    labels, count = ndimage.label(mask, np.ones((3,) * mask.ndim, bool))
    sizes = np.bincount(labels[mask], minlength=count + 1)[1:]
    inside = np.bincount(labels[mask & other], minlength=count + 1)[1:]
    return float(np.count_nonzero(inside > share * sizes)) / count
