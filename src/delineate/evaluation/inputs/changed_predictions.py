"""Whether a folder of predictions is what `predict` left there: what was changed, and what lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.evaluation.inputs.prediction_list import PREDICTIONS_FILE, PredictionList
from delineate.evaluation.inputs.probability_maps import FOLDER_NAME, unlisted_maps
from delineate.evaluation.inputs.references import mask_like_files

__all__ = ["lists_no_maps", "prediction_notes"]

_SHOWN = 3


def prediction_notes(folder: Path, listed: PredictionList) -> list[str]:
    """What a reader of the scores must know, a sentence each. Raises `DataError` for a listed mask that is gone."""
    notes = []
    if changed := listed.changed_masks(folder):
        notes.append(
            f"{_told(changed, 'mask', ('was', 'were'))} changed after predict had written them: the scores are not the model's own."
        )
    named = set(listed.outputs())
    if strangers := [path.name for path in _masks(folder) if path.name not in named]:
        notes.append(
            f"{_told(strangers, 'mask')} not listed in {folder / PREDICTIONS_FILE}, so not of this model: not scored."
        )
    stale = unlisted_maps(folder, listed)
    if stale and lists_no_maps(listed):
        notes.append(
            f"{folder / PREDICTIONS_FILE} was written by an earlier version and lists no probability maps: whether those in "
            f"{FOLDER_NAME}/ are of this model is not known."
        )
    elif stale:
        what = "probability map"
        notes.append(f"{_told(stale, what)} not listed in {folder / PREDICTIONS_FILE}, so not of this model: ignored.")
    return notes


def lists_no_maps(listed: PredictionList) -> bool:
    """Whether the list is of a version that did not note the maps."""
    return all(file.maps is None for file in listed.files)


def _told(names: Sequence[str], what: str, verbs: tuple[str, str] = ("is", "are")) -> str:
    return f"{count(len(names), what)} ({some(names, _SHOWN)}) {verbs[0] if len(names) == 1 else verbs[1]}"


def _masks(folder: Path) -> list[Path]:
    try:
        return mask_like_files(folder)
    except DataError:  # images and volumes side by side: the list says which are meant
        return []
