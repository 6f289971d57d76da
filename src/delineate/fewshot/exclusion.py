"""Setting 2: a class that is tested as unseen must not appear in the training slices, not even without label.

A slice is left out if it shows *any* excluded class (Ouyang et al., ECCV 2020). Some public code combined the classes by "and": a
slice was left out only if it showed all of them, which hides almost nothing. That rule exists here as `legacy_all`, only to
reproduce published scores.
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
"""With fewer slices, there is too little to train on."""


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
