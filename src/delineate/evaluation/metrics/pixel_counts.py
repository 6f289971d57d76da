"""Overlap scores of label maps, from counts of pixels.

All scores are in [0, 1], higher is better, without unit. Every function takes counts of pixels (arrays of any one shape,
one entry per class or case) and treats empty masks alike, the policy of the column `all`:

- reference and prediction both empty → 1 (rightly nothing was marked),
- reference empty, prediction not (false positive) → 0,
- prediction empty, reference not (miss) → 0.

The column `present` holds the same values, restricted to cases whose reference is not empty. Pixels whose reference is 255
(ignore) are counted nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.manifest import IGNORE

__all__ = [
    "SCORES",
    "Counts",
    "Labels",
    "Scores",
    "confusion",
    "counts",
    "dice",
    "iou",
    "precision",
    "recall",
]

Labels = NDArray[Any]
"""Class indices H×W (or any one shape) of an unsigned integer type."""
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Pixels per class: in both masks (`tp`), in the prediction only (`fp`), in the reference only (`fn`)."""

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]


def confusion(prediction: Labels, reference: Labels, classes: int) -> NDArray[np.int64]:
    """Pixel counts classes×classes: rows are the reference's class, columns the prediction's.

    `classes` includes the background. Raises `ValueError` for shapes that differ or indices outside the classes.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    codes = np.bincount(reference.ravel().astype(np.int32) * 256 + prediction.ravel(), minlength=65536)
    table = codes.reshape(256, 256)[:IGNORE]
    inside = table[:classes, :classes]
    if inside.sum() != table.sum():
        raise ValueError(f"class indices outside 0…{classes - 1}")
    return inside.astype(np.int64)


def counts(confusion: NDArray[np.int64]) -> Counts:
    """The counts of every class, background first, from a confusion table (see `confusion`)."""
    tp = confusion.diagonal()
    return Counts(tp=tp, fp=confusion.sum(0) - tp, fn=confusion.sum(1) - tp)


def dice(of: Counts) -> Scores:
    """2·TP / (2·TP + FP + FN): Dice, Ecology 26 (1945) 297; Sørensen 1948; the F1 score of pixels."""
    return _ratio(2 * of.tp, 2 * of.tp + of.fp + of.fn, of)


def iou(of: Counts) -> Scores:
    """TP / (TP + FP + FN): intersection over union; Jaccard, New Phytologist 11 (1912) 37. Equals dice / (2 − dice)."""
    return _ratio(of.tp, of.tp + of.fp + of.fn, of)


def precision(of: Counts) -> Scores:
    """TP / (TP + FP): share of the marked pixels that are right (positive predictive value). A miss scores 0."""
    return _ratio(of.tp, of.tp + of.fp, of)


def recall(of: Counts) -> Scores:
    """TP / (TP + FN): share of the reference's pixels that were found (sensitivity). A false positive scores 0."""
    return _ratio(of.tp, of.tp + of.fn, of)


SCORES = {"dice": dice, "iou": iou, "precision": precision, "recall": recall}
"""Name → function of `Counts`, in the order of the tables."""


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64], of: Counts) -> Scores:
    """part / whole; where whole is 0: 1 if both masks are empty, else 0."""
    both_empty = (of.tp + of.fp + of.fn == 0).astype(np.float64)
    return np.divide(part, whole, out=both_empty, where=whole > 0)
