"""How sure the model was of the masks that are scored, as `predict --uncertainty` has told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.evaluation.inputs.scoring_units import ScoringUnit

__all__ = ["certainty"]


def certainty(
    predictions: Path, units: Sequence[ScoringUnit], listed: PredictionList | None
) -> dict[str, dict[str, float]]:
    """Of each unit whose masks have it all.

    Args:
        predictions: Their folder.
        units: What is scored.
        listed: What `predict` has written there; None: nothing is known.

    Returns:
        `confidence`, of slices that are put together the least; `expected_dice`, of masks that are scored one by one. Both are
        empty where a mask has been changed since.
    """
    if listed is None or all(file.confidence is None for file in listed.files) or listed.changed_masks(predictions):
        return {"confidence": {}, "expected_dice": {}}
    sure = {predictions / file.mask: file.confidence for file in listed.files}
    dice = {predictions / file.mask: file.expected_dice for file in listed.files}
    found: dict[str, dict[str, float]] = {"confidence": {}, "expected_dice": {}}
    for unit in units:
        paths = [path for path, _ in unit.members]
        known = [value for path in paths if (value := sure.get(path)) is not None]
        if len(known) == len(paths):
            found["confidence"][unit.name] = min(known)
        if len(paths) == 1 and (expected := dice.get(paths[0])) is not None:
            found["expected_dice"][unit.name] = expected
    return found
