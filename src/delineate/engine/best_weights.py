"""Which weights are kept: one number from the pixels of the validation cases, and what it is a measure of.

- Every case has every class: Dice (or IoU: `engine.select_by`) of each case, mean over cases, then over classes.
- Some case lacks a class: that of the pixels of all cases together, class by class, then the mean over the classes that some
  reference has. A mean over cases would give 1 for each empty case in which nothing is marked, so that a network that marks
  nothing scores the share of empty cases; leaving these cases out would let false positives go unpunished. Pooled, they add to
  the denominator, in proportion to their size. Pixels of a class that no reference has are shared out among those that are there.
- No reference has a class: the validation loss alone.
- All pixels are ignored: nothing; the latest weights are kept.

Of equal values the lower validation loss wins, then the earlier weights. With `engine.select_by=last` nothing is chosen: the
weights after the last step are kept, so that training needs no validation cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SCORE_WORDS",
    "BestScore",
    "CaseCounts",
    "Judgment",
    "Measure",
    "SelectBy",
    "is_better",
    "judge_validation",
    "measure_words",
]

Measure = Literal["cases", "pooled", "loss", "nothing"]
SelectBy = Literal["dice", "miou", "last"]
SCORE_WORDS: dict[SelectBy, str] = {"dice": "Dice", "miou": "mIoU", "last": "Dice"}
"""last: what validations show, where there are any."""


def measure_words(measure: Measure, by: SelectBy) -> str:
    """What chose the weights, for the reader."""
    if by == "last":
        return "nothing: the weights after the last step are kept"
    return {
        "cases": f"{SCORE_WORDS[by]}, mean over cases",
        "pooled": f"{SCORE_WORDS[by]} of the pixels of all cases together",
        "loss": "loss, since no validation case has foreground",
        "nothing": "nothing, since no validation case has a valid pixel: the latest weights are kept",
    }[measure]


@dataclass(frozen=True)
class CaseCounts:
    """Pixels of one validation case that are not ignored, per foreground class."""

    labels: tuple[int, ...]
    """The classes that the other fields are about, in order."""
    both: NDArray[Any]
    """In prediction and reference."""
    ours: NDArray[Any]
    """In the prediction."""
    theirs: NDArray[Any]
    """In the reference."""
    valid: NDArray[Any]
    """All that are not ignored."""

    @classmethod
    def together(cls, parts: Sequence[CaseCounts]) -> CaseCounts:
        """Of a case that was counted in parts, such as slices."""
        tables = [np.stack([one.both, one.ours, one.theirs, one.valid]) for one in parts]
        return cls(parts[0].labels, *np.sum(tables, axis=0))

    def rows(self) -> Iterator[tuple[int, ...]]:
        """(label, both, ours, theirs) of each class with a valid pixel."""
        for row in zip(self.labels, self.both, self.ours, self.theirs, self.valid, strict=True):
            if row[-1]:
                yield tuple(int(value) for value in row[:-1])


@dataclass(frozen=True)
class Judgment:
    """What one validation says of the weights."""

    dice: float | None
    """None where the measure is neither "cases" nor "pooled"."""
    measure: Measure
    cases: int
    """Cases with a valid pixel."""
    with_foreground: int
    """Of them, those whose reference has a class."""
    marked: int
    """Of them, those in which the network marks a class."""
    iou: float | None = None
    """Intersection over union, None as `dice` is."""

    def score(self, by: SelectBy) -> float | None:
        """What the weights are chosen by."""
        return self.iou if by == "miou" else self.dice

    def words(self, by: SelectBy = "dice") -> str:
        """For one line of progress: "Dice 0.8312", with what is unusual about it."""
        said = []
        if self.measure == "pooled":
            said.append("pooled")
        if self.with_foreground and not self.marked:
            said.append("nothing marked")
        if self.measure in ("loss", "nothing"):
            said.append("no foreground" if self.measure == "loss" else "all ignored")
        score = self.score(by)
        value = f"{SCORE_WORDS[by]} –" if score is None else f"{SCORE_WORDS[by]} {score:.4f}"
        return f"{value} ({', '.join(said)})" if said else value


def judge_validation(cases: Iterable[CaseCounts]) -> Judgment:
    """See the module. A case without valid pixels counts nowhere."""
    scored = [case for case in cases if case.valid.any()]
    rows = np.array([row for case in scored for row in case.rows()], np.int64).reshape(-1, 4)
    label, both, ours, theirs = rows.T
    held = np.unique(label[theirs > 0])
    measure: Measure = "pooled" if (theirs == 0).any() else "cases"
    if not len(held):
        measure = "loss" if scored else "nothing"
    stray = ours[~np.isin(label, held)].sum() / max(1, len(held))
    dice, iou = [], []
    for here in (label == one for one in held):
        shared, marked = both[here], ours[here] + theirs[here]
        if measure == "pooled":
            shared, marked = shared.sum(), marked.sum() + stray
        dice.append(np.mean(2 * shared / marked))
        iou.append(np.mean(shared / (marked - shared)))
    return Judgment(
        dice=float(np.mean(dice)) if dice else None,
        measure=measure,
        cases=len(scored),
        with_foreground=sum(bool(case.theirs.any()) for case in scored),
        marked=sum(bool(case.ours.any()) for case in scored),
        iou=float(np.mean(iou)) if iou else None,
    )


@dataclass(frozen=True)
class BestScore:
    """What the best weights so far scored. A run of an earlier version remembers neither loss nor measure."""

    dice: float | None
    loss: float | None
    measure: Measure = "cases"
    iou: float | None = None

    def score(self, by: SelectBy) -> float | None:
        return self.iou if by == "miou" else self.dice


def is_better(now: Judgment, loss: float, best: BestScore | None, by: SelectBy = "dice") -> bool:
    """Whether weights with that judgment and validation loss take the place of the best."""
    if best is None or now.measure != best.measure or now.measure == "nothing":
        return True
    ours, theirs = now.score(by), best.score(by)
    if ours is not None and theirs is not None and ours != theirs:
        return ours > theirs
    return best.loss is not None and loss < best.loss
