"""One case at a time: a predicted and a reference label map → a row of scores for each foreground class."""

from __future__ import annotations

from dataclasses import dataclass

from delineate.data.case import ClassTable
from delineate.evaluation import overlap
from delineate.evaluation.overlap import Labels


@dataclass(frozen=True)
class Row:
    """The scores of one case and one foreground class, at the resolution of the arrays that were compared."""

    case: str
    label: int
    """Class index, from 1."""
    name: str
    present: bool
    """The reference has pixels of this class."""
    found: bool
    """The prediction has pixels of this class."""
    scores: dict[str, float]
    """Score name → value in [0, 1], by the policy of the column `all` (see `evaluation.overlap`)."""
    tp: int
    fp: int
    fn: int


def score_case(case: str, prediction: Labels, reference: Labels, classes: ClassTable) -> list[Row]:
    """Compare class indices H×W with class indices H×W (255 in the reference = ignored); rows in the order of the classes.

    Binary predictions are 0/1. Raises `ValueError` when shapes differ or an index is not of the class table.
    """
    of = overlap.counts(overlap.confusion(prediction, reference, len(classes.names)))
    values = {name: score(of) for name, score in overlap.SCORES.items()}
    return [
        Row(
            case=case,
            label=label,
            name=name,
            present=bool(of.tp[label] + of.fn[label]),
            found=bool(of.tp[label] + of.fp[label]),
            scores={score: float(value[label]) for score, value in values.items()},
            tp=int(of.tp[label]),
            fp=int(of.fp[label]),
            fn=int(of.fn[label]),
        )
        for label, name in enumerate(classes.names)
        if label > 0
    ]
