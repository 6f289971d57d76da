"""How much was marked, wherever it lies: differences of area (2-D) or volume (3-D).

In the spacing's unit squared or cubed; in pixels where spacing is 1. The best value is 0.
"""

from __future__ import annotations

import math

from delineate.evaluation.metrics.masks import Masks

__all__ = ["absolute_volume_difference", "relative_volume_difference", "volume_difference"]


def volume_difference(masks: Masks) -> float:
    """|P| − |R|, any real number; above 0: too much was marked. Empty masks have size 0, so it is always defined."""
    return (masks.fp - masks.fn) * masks.pixel_size


def absolute_volume_difference(masks: Masks) -> float:
    """||P| − |R||, in [0, ∞). Empty masks have size 0, so it is always defined."""
    return abs(volume_difference(masks))


def relative_volume_difference(masks: Masks) -> float:
    """(|P| − |R|) / |R|, in [−1, ∞), without unit. A miss is −1; NaN where the reference is empty. (MedPy's `ravd`.)"""
    reference = masks.tp + masks.fn
    return (masks.fp - masks.fn) / reference if reference else math.nan
