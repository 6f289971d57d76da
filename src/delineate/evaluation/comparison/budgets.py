"""What a comparison must say of the models' budgets: that they differ, or that training was cut off while it still helped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from delineate.data.core.findings import some
from delineate.evaluation.comparison.models import Model
from delineate.evaluation.comparison.training_record import TrainingRecord

__all__ = ["budget_notes"]

_FACTS: tuple[tuple[str, Callable[[TrainingRecord], Any]], ...] = (
    ("steps", lambda one: one.steps),
    ("images seen", lambda one: one.images_seen),
    ("working size", lambda one: None if one.size is None else "×".join(map(str, one.size))),
    ("preset", lambda one: one.preset),
    ("first weights", lambda one: one.first_weights),
    ("training data", lambda one: one.data_sha256 and f"{one.data_name} {one.data_sha256[:8]}"),
)
_SHOWN = 4


def budget_notes(models: Sequence[Model]) -> list[str]:
    """Sentences; none where all is alike, or nothing is known."""
    known = {model.name: training for model in models if (training := model.training) is not None}
    lines = [words for what, of in _FACTS if (words := _differing(what, of, known))]
    rising = [f"{name} (Dice +{one.gain:.3f})" for name, one in known.items() if one.rising]
    if rising:
        lines.append(
            f"Validation was still rising when training ended: {some(rising, _SHOWN)}. More steps would likely improve these."
        )
    if known and (bare := [model.name for model in models if model.name not in known]):
        lines.append(f"How {some(bare, _SHOWN)} {'was' if len(bare) == 1 else 'were'} trained is not known here.")
    return lines


def _differing(what: str, of: Callable[[TrainingRecord], Any], known: dict[str, TrainingRecord]) -> str | None:
    """ "Not the same steps: 12 (a, b), 24 (c)."."""
    values: dict[Any, list[str]] = {}
    for name, training in known.items():
        if of(training) is not None:
            values.setdefault(of(training), []).append(name)
    if len(values) < 2:
        return None
    told = [f"{value} ({some(names, _SHOWN)})" for value, names in values.items()]
    return f"Not the same {what}: {some(told, _SHOWN)}."
