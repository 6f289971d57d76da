"""What the scored cases were to the model that made the predictions: new ones, or such as it was trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from delineate.common.errors import DelineateError
from delineate.common.files import sha256
from delineate.data.core.findings import count, some
from delineate.data.core.known import Role
from delineate.data.core.manifest import Manifest
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.evaluation.inputs.scoring_units import ScoringUnit

__all__ = ["SeenCases", "seen_by_model", "training_notes"]

SeenCases = dict[Role, list[str]]
"""Role → names of the scored cases."""

_WORDS: dict[Role, str] = {
    "train": "were used to train this very model: {}; scores on them say nothing about new cases.",
    "before": "were used to train the model that this one started from: {}; scores on them say nothing about new cases.",
    "val": "were used to choose the model's weights: {}; scores on them are too good.",
}


def seen_by_model(folder: Path, listed: PredictionList | None, units: Sequence[ScoringUnit]) -> SeenCases:
    """The units by what they were to the model that made the predictions in `folder`; new ones are left out."""
    roles = _roles_of(folder, listed)
    found: SeenCases = defaultdict(list)
    for unit in units:
        own = {roles[mask] for mask, _ in unit.members if mask in roles}
        first = next((role for role in get_args(Role) if role in own), None)
        if first is not None:
            found[first].append(unit.name)
    return dict(found)


def training_notes(seen: SeenCases, scored: int) -> list[str]:
    """A line for each way in which the scores are not those of new cases."""
    lines = []
    for role, words in _WORDS.items():
        if names := seen.get(role):
            lines.append(f"{len(names)} of {count(scored, 'scored case')} {words.format(some(names, 3))}")
    return lines


def _roles_of(folder: Path, listed: PredictionList | None) -> dict[Path, Role]:
    """Predicted mask → what its image was to the model, as `predict` has noted; in lists of older versions, as the files tell that
    the model's run knows."""
    if listed is None:
        return {}
    noted = {folder / file.mask: file.seen for file in listed.files if file.seen is not None}
    if noted or listed.knows_pictures:
        return noted
    known = _files_of_run(listed)
    found = {}
    for file in listed.files if known else ():
        image = Path(file.image)
        if image.is_file() and (role := known.get(sha256(image))):
            found[folder / file.mask] = role
    return found


def _files_of_run(listed: PredictionList) -> dict[str, Role]:
    """SHA-256 of an image file → its split, from the manifest beside the model if that is the very one."""
    if listed.model is None:
        return {}
    given = Path(listed.model)
    model = given / "model.safetensors" if given.is_dir() else given
    try:
        if not model.is_file() or sha256(model) != listed.model_sha256:
            return {}
        manifest = Manifest.load(model.with_name("manifest.json"))
    except (DelineateError, OSError):
        return {}
    return {
        case.hashes[name]: case.split
        for case in manifest.cases
        if case.split
        for name in case.images
        if name in case.hashes
    }
