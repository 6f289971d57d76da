"""Instance maps: every object has a number of its own, 0 is the background (cells, nuclei, glands).

All are in [0, 1] without unit, higher is better; numbers need not be consecutive, and which number an object has plays no
part. No object in either map → 1; objects in one map only → 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.evaluation.metrics.masks import Outcome, outcome_of

__all__ = [
    "Instances",
    "aggregated_jaccard",
    "panoptic_quality",
    "recognition_quality",
    "segmentation_quality",
]

_MATCH = 0.5
"""Two objects match if their IoU is above; at ½ or more no object can match two."""


@dataclass(frozen=True, eq=False)
class Instances:
    """How the objects of a predicted and a reference instance map overlap; make it with `of`."""

    reference: NDArray[np.int64]
    """Pixels of each reference object."""
    prediction: NDArray[np.int64]
    """Pixels of each predicted object."""
    pairs: NDArray[np.int64]
    """(reference object, predicted object) that share pixels, pairs×2, in order."""
    shared: NDArray[np.int64]
    """Pixels that each pair shares."""

    @classmethod
    def of(
        cls, prediction: NDArray[Any], reference: NDArray[Any], *, valid: NDArray[np.bool_] | None = None
    ) -> Instances:
        """Count the overlaps of two integer maps of one shape; pixels that are not `valid` are background in both.

        Raises `ValueError` for shapes that differ and for maps that are not of whole numbers from 0.
        """
        if not prediction.shape == reference.shape == (prediction if valid is None else valid).shape:
            raise ValueError(f"prediction {prediction.shape}, reference {reference.shape} or valid differ in shape")
        ours, theirs = (_consecutive(labels, valid) for labels in (prediction, reference))
        columns = int(ours.max(initial=0)) + 1
        codes, shared = np.unique((theirs * columns + ours)[(theirs > 0) & (ours > 0)], return_counts=True)
        pairs = np.stack(np.divmod(codes, columns), axis=1) - 1
        return cls(np.bincount(theirs.ravel())[1:], np.bincount(ours.ravel())[1:], pairs, shared)

    @property
    def outcome(self) -> Outcome:
        """What became of the objects: found is when any two share a pixel."""
        return outcome_of(self.reference.size, self.prediction.size, len(self.pairs))

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """IoU of each pair."""
        reference, prediction = self.pairs.T
        return self.shared / (self.reference[reference] + self.prediction[prediction] - self.shared)


def recognition_quality(instances: Instances) -> float:
    """RQ = TP / (TP + FP/2 + FN/2), the F1 of objects, those with IoU > ½ matching: Kirillov et al., CVPR 2019."""
    objects = instances.reference.size + instances.prediction.size
    return 2 * _matched(instances).size / objects if objects else 1.0


def segmentation_quality(instances: Instances) -> float:
    """SQ = mean IoU of the matched pairs: Kirillov et al. 2019. 0 where there are objects but no pair matches."""
    matched = _matched(instances)
    return float(matched.mean()) if matched.size else float(instances.outcome == "both_empty")


def panoptic_quality(instances: Instances) -> float:
    """PQ = SQ · RQ = Σ IoU of matched pairs / (TP + FP/2 + FN/2): Kirillov et al. 2019."""
    return segmentation_quality(instances) * recognition_quality(instances)


def aggregated_jaccard(instances: Instances) -> float:
    """AJI: Kumar et al., IEEE TMI 36 (2017) 1550. Each reference object takes the prediction with which its IoU is largest.

    Σ intersections / (Σ unions + the pixels of predictions that nobody took). As in the paper, one prediction may be taken by
    several reference objects and then adds to each one's union; an object that meets no prediction adds its own pixels; of equal
    IoUs the lowest number is taken. Not symmetric.
    """
    if not (instances.reference.size and instances.prediction.size):
        return float(instances.outcome == "both_empty")
    order = np.lexsort((-instances.iou, instances.pairs[:, 0]))
    _, first = np.unique(instances.pairs[order, 0], return_index=True)
    chosen = order[first]
    taken = instances.pairs[chosen, 1]
    shared = instances.shared[chosen].sum()
    unions = instances.reference.sum() + instances.prediction[taken].sum() - shared
    return float(shared / (unions + np.delete(instances.prediction, taken).sum()))


def _matched(instances: Instances) -> NDArray[np.float64]:
    """IoUs of the pairs that match."""
    return instances.iou[instances.iou > _MATCH]


def _consecutive(labels: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """The same objects numbered 1, 2, … in the order of their numbers."""
    if labels.dtype.kind not in "iub" or labels.min(initial=0) < 0:
        raise ValueError("an instance map holds whole numbers from 0")
    kept = labels if valid is None else np.where(valid, labels, 0)
    numbers, places = np.unique(kept, return_inverse=True)
    return places.reshape(labels.shape).astype(np.int64) + int(numbers.size > 0 and numbers[0] != 0)
