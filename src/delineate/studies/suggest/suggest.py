"""The images to label next, as a list that `train --labeled` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from delineate.common.csv_text import csv_text
from delineate.common.errors import DataError
from delineate.common.files import write_text
from delineate.data.core.findings import count
from delineate.studies.suggest.choose import Candidates, Pick, choose
from delineate.studies.suggest.measure import Measure
from delineate.studies.suggest.measured_pool import MeasuredPool
from delineate.studies.suggest.pool import LabelPool
from delineate.studies.suggest.request import COLUMNS, SuggestRequest

__all__ = ["LabelSuggestions", "Suggested", "Suggestion", "suggest", "write_list"]

_WHY = {
    "coverage": "farthest from all that is labeled or chosen",
    "both": "drawn by doubt times squared distance",
    "random": "drawn at random",
}
_FIRST = {"coverage": "most typical of the pool", "both": "drawn by doubt"}
"""Where nothing is labeled or chosen yet."""


@dataclass(frozen=True)
class Suggestion:
    """One image of the list."""

    case: str
    image: str
    """Its file, relative to the pool's folder; of several the first."""
    group: str | None
    """Its patient or sequence; None: not known."""
    rank: int | None = None
    """From 1 on, in the order chosen; None: it is labeled already (`with_labeled`)."""
    doubt: float | None = None
    """0 … 1."""
    distance: float | None = None
    """To the nearest image that was labeled or chosen before it, in units of the features; None: there was none."""
    why: str = "labeled already"


@dataclass(frozen=True)
class LabelSuggestions:
    """What `suggest_labels` returns."""

    rows: tuple[Suggestion, ...]
    """The suggestions in the order chosen, then, if asked for, the images that are labeled already."""
    file: Path
    """The list, as CSV."""
    page: Path
    """The page with their pictures."""
    notes: tuple[str, ...]
    """What was left out, and what the choice rests on."""

    @property
    def cases(self) -> tuple[str, ...]:
        """Ids of the images to label, in the order chosen."""
        return tuple(row.case for row in self.rows if row.rank is not None)


@dataclass(frozen=True)
class Suggested:
    """All that the page is made of."""

    request: SuggestRequest
    found: MeasuredPool
    result: LabelSuggestions
    measures: list[Measure]
    """Of the suggested images, in the order chosen."""
    notes: list[str]
    """Those that name no file."""


def suggest(request: SuggestRequest, found: MeasuredPool) -> Suggested:
    """Choose images. The same request on the same files gives the same images on one machine. Nothing is written.

    Raises `DataError` where fewer may be chosen than were asked for.
    """
    picks, limit = _chosen(request, found)
    notes = list(found.notes)
    if not found.covered and request.by in ("coverage", "both"):
        notes.append("no labeled image is known: nothing is taken for covered")
    if request.per_group is None and any(case.group for case in found.pool.candidates.manifest.cases):
        notes.append(f"at most {count(limit, 'image')} of a patient or sequence (--per-group)")
    rows = [*_rows(request, found, picks), *(_labeled_rows(found.pool) if request.with_labeled else [])]
    result = LabelSuggestions(tuple(rows), request.out, request.page, (*found.messages, *notes))
    return Suggested(request, found, result, [found.measures[pick.index] for pick in picks], notes)


def write_list(result: LabelSuggestions) -> None:
    """The list as CSV, which `train --labeled` takes."""
    rows = [
        (row.case, row.rank, _number(row.doubt), _number(row.distance), row.group, row.why, row.image)
        for row in result.rows
    ]
    write_text(result.file, csv_text(COLUMNS, rows))


def _chosen(request: SuggestRequest, found: MeasuredPool) -> tuple[list[Pick], int]:
    """The picks, and how many of a patient were allowed."""
    pool, measures = found.pool, found.measures
    group = {case.id: case.group for case in pool.candidates.manifest.cases}
    place = {one.case: at for at, one in enumerate(measures)}
    twins = {at: [place[twin] for twin in pool.twins.get(name, ()) if twin in place] for name, at in place.items()}
    candidates = Candidates(
        np.array([one.doubt for one in measures]),
        np.array([one.features for one in measures], np.float64),
        np.array([one.features for one in found.covered], np.float64),
        [group[one.case] for one in measures],
        twins,
    )
    picks, limit = choose(candidates, request.count, request.by, request.per_group, request.seed)
    if len(picks) < request.count:
        many = request.per_group is not None and any(group.values())
        why = f"at most {request.per_group} of a patient" if many else "near duplicates are not chosen twice"
        raise DataError(
            f"--count {request.count}: only {len(picks)} of {len(measures)} images can be chosen ({why}); give fewer"
            + (", or raise --per-group" if many else "")
        )
    return picks, limit


def _rows(request: SuggestRequest, found: MeasuredPool, picks: Sequence[Pick]) -> list[Suggestion]:
    cases = {case.id: case for case in found.pool.candidates.manifest.cases}
    falling = np.argsort([-one.doubt for one in found.measures], kind="stable")
    place = {int(at): rank for rank, at in enumerate(falling, start=1)}
    rows = []
    for rank, pick in enumerate(picks, start=1):
        one = found.measures[pick.index]
        case = cases[one.case]
        how = _FIRST.get(request.by) if pick.distance is None else None
        how = how or _WHY.get(request.by)
        doubt = f"doubt: place {place[pick.index]} of {len(found.measures)}"
        why = f"{how}; {doubt}" if how else doubt
        rows.append(Suggestion(case.id, case.images[0], case.group, rank, one.doubt, pick.distance, why))
    return rows


def _labeled_rows(pool: LabelPool) -> list[Suggestion]:
    names = set(pool.labeled)
    cases = [case for case in pool.covered[0].manifest.cases if case.id in names] if names else []
    return [Suggestion(case.id, case.images[0], case.group) for case in cases]


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
