"""One case at a time: a predicted and a reference label map → a row of scores for each foreground class, or each region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.manifest import IGNORE, ClassTable
from delineate.data.core.regions import is_one_of
from delineate.evaluation.metrics.calibration import Probabilities
from delineate.evaluation.metrics.instances import Instances
from delineate.evaluation.metrics.masks import Masks, Outcome
from delineate.evaluation.metrics.metric import InstanceMetric, Metric, ProbabilityMetric
from delineate.evaluation.metrics.pixel_counts import Labels
from delineate.evaluation.metrics.registry import METRICS

__all__ = [
    "AT_ONCE",
    "QUICK",
    "Row",
    "add_probabilities",
    "confusion",
    "score_case",
    "score_instances",
]

QUICK = tuple(METRICS[name] for name in ("dice", "iou", "precision", "recall"))
"""What training's own validation reports: overlap from counts alone."""


AT_ONCE = 1 << 22
"""Pixels that are counted together."""


@dataclass(frozen=True)
class Row:
    """The scores of one case and one foreground class or region, at the resolution of the arrays that were compared."""

    case: str
    label: int
    """Index of the class, or number of the region, from 1."""
    name: str
    outcome: Outcome
    """What became of the class, see `evaluation.metrics.masks`."""
    scores: dict[str, float]
    """Metric name → value by that metric's policy; NaN where it is not scored."""
    tp: int
    fp: int
    fn: int
    tn: int
    """Pixels or voxels; those ignored are counted nowhere."""
    diagonal: float
    """Of the whole array, in the unit of lengths: what a miss costs in the column `penalised`."""
    group: str = ""
    """What statistics resample: patient, sequence. Empty: the case is its own group."""

    @property
    def present(self) -> bool:
        """The reference has the class."""
        return self.outcome in ("found", "not_touched", "missed")

    @property
    def found(self) -> bool:
        """Reference and prediction have the class, and share a pixel of it."""
        return self.outcome == "found"

    @property
    def both(self) -> bool:
        """Reference and prediction have the class, wherever: then there is a distance between them."""
        return self.outcome in ("found", "not_touched")

    @property
    def cluster(self) -> str:
        """The group's name, the case's own where it has none."""
        return self.group or self.case


def score_case(
    case: str,
    prediction: Labels,
    reference: Labels,
    classes: ClassTable,
    *,
    metrics: Sequence[Metric] = QUICK,
    spacing: Sequence[float] | None = None,
    group: str | None = None,
) -> list[Row]:
    """Score one case, class by class; or region by region, where the class table has regions. A volume of one slice is scored as a
    2-D image.

    Args:
        case: Name of the case.
        prediction: Class indices, H×W or D×H×W; 0 is the background.
        reference: Class indices of the same shape; 255 = ignored.
        classes: Names of all classes, the background first, and of the regions.
        metrics: What to compute; default: Dice, IoU, precision and recall.
        spacing: Size of a pixel along each axis of the arrays, in mm. None: lengths are in pixels.
        group: What belongs together in statistics, such as the patient. None: the case is its own group.

    Returns:
        A row for each foreground class, or each region, in the order of the table.

    Raises:
        ValueError: Shapes that differ, or an index that is not in the class table.

    Example:
        >>> from delineate.data.core.manifest import ClassTable
        >>> from delineate.evaluation.results.case_scores import score_case
        >>> reference = np.zeros((8, 8), np.uint8)
        >>> reference[2:6, 2:6] = 1
        >>> (row,) = score_case("case 1", np.roll(reference, 1, axis=1), reference, ClassTable())
        >>> row.scores["dice"], row.outcome
        (0.75, 'found')
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    valid = reference != IGNORE
    if prediction.max(initial=0) >= len(classes.names) or reference.max(where=valid, initial=0) >= len(classes.names):
        raise ValueError(f"class indices outside 0…{len(classes.names) - 1}")
    ignoring = None if valid.all() else valid
    rows = []
    for label, (name, members) in enumerate(classes.structures.items(), start=1):
        ours, theirs = is_one_of(prediction, members), is_one_of(reference, members)
        masks = Masks.of(ours, theirs, valid=ignoring, spacing=spacing)
        rows.append(_row(case, label, name, masks.as_picture(), metrics, group))
    return rows


def confusion(prediction: Labels, reference: Labels, classes: ClassTable) -> NDArray[np.int64]:
    """Pixels by class of the reference (row) and of the prediction (column), background included; ignored ones are left out."""
    count = len(classes.names)
    found = np.zeros(count * count, np.int64)
    ours, theirs = prediction.ravel(), reference.ravel()
    for start in range(0, ours.size, AT_ONCE):  # in parts: counting takes eight bytes a pixel
        part = slice(start, start + AT_ONCE)
        valid = theirs[part] != IGNORE
        pairs = theirs[part][valid].astype(np.int64) * count + ours[part][valid]
        found += np.bincount(pairs, minlength=count * count)
    return found.reshape(count, count)


def add_probabilities(
    rows: Sequence[Row],
    probabilities: Sequence[NDArray[np.float32]],
    reference: Labels,
    metrics: Sequence[ProbabilityMetric],
    classes: ClassTable,
) -> list[Row]:
    """The same rows with the calibration of each class, or region, against the rest.

    `probabilities`: of each row in the reference's shape. Raises `ValueError` for shapes that differ.
    """
    added = []
    for row, stated in zip(rows, probabilities, strict=True):
        inside = is_one_of(reference, classes.structures[row.name])
        given = Probabilities.of(stated, inside, valid=reference != IGNORE)
        added.append(replace(row, scores={**row.scores, **{one.name: float(one.value(given)) for one in metrics}}))
    return added


def score_instances(
    case: str,
    prediction: NDArray[Any],
    reference: NDArray[Any],
    *,
    metrics: Sequence[InstanceMetric],
    mask_metrics: Sequence[Metric] = QUICK,
    spacing: Sequence[float] | None = None,
    group: str | None = None,
) -> Row:
    """Compare instance maps (0 = background): their objects, and the union of the objects as the class `foreground`."""
    masks = Masks.of(prediction > 0, reference > 0, spacing=spacing).as_picture()
    row = _row(case, 1, "foreground", masks, mask_metrics, group)
    objects = Instances.of(prediction, reference)
    return replace(row, scores={**row.scores, **{metric.name: float(metric.value(objects)) for metric in metrics}})


def _row(case: str, label: int, name: str, masks: Masks, metrics: Sequence[Metric], group: str | None) -> Row:
    return Row(
        case=case,
        label=label,
        name=name,
        outcome=masks.outcome,
        scores={metric.name: float(metric.value(masks)) for metric in metrics},
        tp=masks.tp,
        fp=masks.fp,
        fn=masks.fn,
        tn=masks.tn,
        diagonal=float(masks.diagonal),
        group=group or "",
    )
