"""Whether references were drawn on their pictures as these are shown: masks and images that EXIF turns differently."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from delineate.data.cases.turned import Shown, stated, turned_apart
from delineate.data.core.manifest import Case, Manifest
from delineate.data.formats.registry import reads_volume
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.evaluation.inputs.scoring_units import ScoringUnit

__all__ = ["orientation_notes"]


def orientation_notes(
    manifest: Manifest, units: Sequence[ScoringUnit], folder: Path, listed: PredictionList | None
) -> list[str]:
    """A sentence where images and references of scored cases state different orientations and sizes do not tell who is right.

    Images are those of the data set, else those that the predictions in `folder` were made from; where neither is there, nothing
    can be said. Costs one reading of the images' files.
    """
    sources = {folder / file.mask: str(Path(file.image).absolute()) for file in listed.files} if listed else {}
    cases = []
    for prediction, case in (member for unit in units for member in unit.members):
        images = case.images or ((sources[prediction],) if prediction in sources else ())
        if images and not reads_volume(manifest.path(case.masks[0])):
            cases.append(case.model_copy(update={"images": images}))
    with ThreadPoolExecutor(4) as pool:
        known = dict(
            zip([case.id for case in cases], pool.map(lambda case: _shown(manifest, case), cases), strict=True)
        )
    facts = {name: shown for name, shown in known.items() if shown is not None}
    return [f"{finding}." for finding in turned_apart(cases, facts)]


def _shown(manifest: Manifest, case: Case) -> Shown | None:
    """None where the image is gone or cannot be read, which does no harm to scores."""
    try:
        return stated([manifest.path(image) for image in case.images], [manifest.path(mask) for mask in case.masks])
    except Exception:
        return None
