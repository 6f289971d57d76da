"""Predictions that lie on other grids than their references: what was done about it, in a sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from delineate.data.core.findings import count, some
from delineate.data.core.manifest import Manifest
from delineate.evaluation.inputs.predictions import place_of
from delineate.evaluation.inputs.scoring_units import ScoringUnit

__all__ = ["grid_notes"]

_SAID = {
    "turned": "with axes in another order or direction than their references, brought to it by their positions",
    "resampled": "on other grids than their references, taken at the nearest voxel of these: scores are of the references' grids",
}


def grid_notes(manifest: Manifest, units: Sequence[ScoringUnit]) -> list[str]:
    """A sentence for predictions whose axes were turned, and one for those that were resampled. Costs one reading of headers."""
    found: dict[str, list[str]] = defaultdict(list)
    for prediction, case in (member for unit in units for member in unit.members):
        way = place_of(prediction, manifest.path(case.masks[0]))
        if way is not None and way.kind != "same" and way.beyond != "background":
            found[way.kind].append(case.id)
    return [
        f"{count(len(names), 'prediction')} {_SAID[kind]} ({some(names, 3)})." for kind, names in sorted(found.items())
    ]
