"""Setting 2: what is to be segmented without having been seen must not be in the training slices, not even unlabeled.

A slice goes when it holds *any* excluded class (Ouyang et al., ECCV 2020). Public code has also combined the classes by "and", so
that a slice went only when it held them all, which hides almost nothing; that form is here under the name `legacy_all`, to
repeat published figures and for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from delineate.common.errors import DataError
from delineate.data.core.findings import count
from delineate.data.core.samples import Sample
from delineate.data.loading.samples import SampleSet

__all__ = ["Rule", "allowed", "excluded"]

Rule = Literal["any", "legacy_all"]
_MIN_SLICES = 50
"""With fewer slices left, training would be on a handful of pictures."""


def excluded(one: Sample, labels: Sequence[int], rule: Rule = "any") -> bool:
    """Whether a slice is not to be trained on. One without mask might hold anything, so it goes with the first class excluded."""
    if not labels:
        return False
    if not one.labeled:
        return True
    held = [one.holds(label) for label in labels]
    return all(held) if rule == "legacy_all" else any(held)


def allowed(
    training: SampleSet, labels: Sequence[int], rule: Rule = "any", *, least: int = _MIN_SLICES
) -> tuple[bool, ...]:
    """Of each slice in turn, whether it may be trained on. Raises `DataError` when fewer than `least` are left."""
    kept = tuple(not excluded(one, labels, rule) for _, one in training)
    if labels and sum(kept) < least:
        names = ", ".join(training.classes.names[label] for label in labels)
        alone = {
            label: sum(not excluded(one, [label], rule) for _, one in training) for label in labels if len(labels) > 1
        }
        hint = "; of one class alone: " + ", ".join(
            f"{training.classes.names[label]} {number}" for label, number in alone.items()
        )
        raise DataError(
            f"without {names}, {count(sum(kept), 'slice')} of {len(kept)} would be left to train on, and {least} are needed; "
            f"exclude fewer classes{hint if alone else ''}"
        )
    return kept
