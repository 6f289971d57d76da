"""Overlap of two masks, by counting pixels.

All are in [0, 1] without unit, higher is better, and spacing plays no part. `evaluation.metrics.pixel_counts` has the formulas and
their sources.
Empty masks: reference and prediction both empty → 1; a miss or a false positive → 0 (except `specificity`).
"""

from __future__ import annotations

from delineate.evaluation.metrics import pixel_counts
from delineate.evaluation.metrics.masks import Masks

__all__ = [
    "dice",
    "iou",
    "precision",
    "recall",
    "specificity",
]


def dice(masks: Masks) -> float:
    """2·TP / (2·TP + FP + FN)."""
    return float(pixel_counts.dice(masks.counts)[0])


def iou(masks: Masks) -> float:
    """TP / (TP + FP + FN)."""
    return float(pixel_counts.iou(masks.counts)[0])


def precision(masks: Masks) -> float:
    """TP / (TP + FP), the positive predictive value."""
    return float(pixel_counts.precision(masks.counts)[0])


def recall(masks: Masks) -> float:
    """TP / (TP + FN), the sensitivity."""
    return float(pixel_counts.recall(masks.counts)[0])


def specificity(masks: Masks) -> float:
    """TN / (TN + FP): share of the valid pixels outside the reference that are not marked. 1 where there are none.

    Depends on how much background the image has. A miss scores 1, both empty 1.
    """
    negatives = masks.tn + masks.fp
    return masks.tn / negatives if negatives else 1.0
