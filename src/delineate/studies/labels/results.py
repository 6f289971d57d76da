"""The table of a study of few labels: what each way of training reached with each number of labels, gained and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import numpy as np

from delineate.common.csv_text import csv_text
from delineate.common.errors import DelineateError
from delineate.common.files import write_json, write_text
from delineate.engine.recipe import Recipe
from delineate.engine.run_folder import RunFolder
from delineate.evaluation.comparison.compare import shared_tables
from delineate.evaluation.results.summary import Values, bounds
from delineate.evaluation.statistics.label_gain import (
    Estimated,
    Figure,
    Share,
    difference,
    gap_closed,
    labels_bought,
    resample,
)
from delineate.inference.predictor import load
from delineate.report.parts.scores import title_of
from delineate.studies.labels.draws import ALL, LabelList
from delineate.studies.labels.jobs import LabelJob
from delineate.studies.labels.passes import passes_per_step
from delineate.studies.labels.setup import budget_words, is_supervised
from delineate.studies.labels.study import LabelStudy

__all__ = ["FEWEST_DRAWS", "LabelRow", "StudyTable", "Verdict", "make_table", "write_table"]

Verdict = Literal["better", "worse", "not told apart"]
FEWEST_DRAWS = 2
"""Nothing is concluded from fewer."""
_DRAWS_FOR_RATIOS = 3
"""From fewer, figures that are not linear in the scores have no interval: two draws move all scores along one line, and ratios
would look more certain than their parts."""
_Point = tuple[str, int]
"""Label of the way of training, place of the number of labels (`ALL`: all)."""


@dataclass(frozen=True)
class LabelRow:
    """One way of training with one number of labels."""

    label: str
    budget: int
    """Place among the numbers of labels; `ALL`: all of them."""
    asked: str
    """The number as it was asked for."""
    cases: float
    """Labeled cases, those that validate included; mean over the draws."""
    groups: float
    share: float
    """The cases, of all labeled training cases."""
    supervised: bool
    reference: bool
    """Whether the others with as many labels are compared with it."""
    draws: int
    seeds: int
    """Of each draw."""
    means: dict[str, Figure]
    differences: dict[str, Figure]
    """To the reference of as many labels, paired by case, draw and seed; empty for the reference itself and for all labels."""
    verdict: Verdict | None
    """By the first metric, corrected for the number of comparisons; None: nothing can be said."""
    gap: Share | None
    """Of the gap to full supervision."""
    bought: Figure | None
    """How many labels more supervised training would have needed; 0: none, infinite: more than all."""
    minutes: float
    peak_mib: float | None
    passes: float | None
    """Forward passes of a step, in batches; None where they could not be counted."""


@dataclass(frozen=True)
class StudyTable:
    """All rows: the number of labels rising, full supervision last.

    Example:
        ```python
        table = delineate.study_labels("polyps/", method="unet", labeled_cases=[40, 160], steps=2000, out="few")
        for row in table.rows:
            print(row.label, row.cases, row.verdict)
        ```
    """

    metrics: dict[str, dict[str, str]]
    """Name → title with its unit, kind, better, unit."""
    columns: dict[str, str]
    rows: tuple[LabelRow, ...]
    failures: dict[str, str]
    """Run → why it failed."""
    incomplete: tuple[str, ...]
    """Rows that are left out, since some of their runs are not done."""
    tests: int
    """Test cases."""
    test_groups: int
    comparisons: int
    """For so many the verdicts are corrected."""

    @property
    def headline(self) -> str:
        """The first metric.

        Returns:
            Its name.
        """
        return next(iter(self.metrics))


@dataclass(frozen=True)
class _Judged:
    """Everything that was resampled together."""

    estimates: dict[str, dict[_Point, Estimated]]
    """Metric → point → its mean."""
    references: dict[int, _Point]
    """Place of the number of labels → the better supervised point."""
    limits: dict[str, tuple[float, float]]
    sign: int
    """−1 where low values of the first metric are good."""
    comparisons: int

    def reach(self, metric: str) -> tuple[float, float]:
        """Between which values a difference lies."""
        low, high = self.limits[metric]
        return low - high, high - low


def make_table(study: LabelStudy) -> StudyTable:
    """Gather the scores of all runs and work out what was gained."""
    first = next(iter(study.scores.values()))
    metrics = {name: {**about, "title": title_of(first, name)} for name, about in first.metrics.items()}
    jobs, incomplete = _points(study)
    failures = {job.name: str(job.result()["error"]) for job in study.jobs if job.state == "failed"}
    if not jobs:
        why = next((f"; {name}: {error}" for name, error in failures.items()), "")
        raise DelineateError(f"nothing to compare in {study.folder}: no way of training has all of its runs{why}")
    judged = _judge(study, jobs, metrics)
    passes = {one.label: _passes(study, one.label) for one in study.setup.entrants}
    rows = [_row(study, point, jobs[point], judged, passes[point[0]]) for point in jobs]
    order = {one.label: at for at, one in enumerate(study.setup.entrants)}
    rows.sort(key=lambda row: (math.inf if row.budget == ALL else row.budget, order[row.label]))
    return StudyTable(
        metrics=metrics,
        columns={name: str(first.column_of(name)) for name in metrics},
        rows=tuple(rows),
        failures=failures,
        incomplete=incomplete,
        tests=len(first.cases()),
        test_groups=len(set(first.groups())),
        comparisons=judged.comparisons,
    )


def _points(study: LabelStudy) -> tuple[dict[_Point, list[LabelJob]], tuple[str, ...]]:
    """The points all of whose runs are done, with these, and the names of the others."""
    found: dict[_Point, list[LabelJob]] = {}
    for job in study.jobs:
        found.setdefault((job.entrant.label, job.budget), []).append(job)
    whole = {point: jobs for point, jobs in found.items() if all(job.name in study.scores for job in jobs)}
    return whole, tuple(f"{label}, {_asked(study, budget)}" for label, budget in found if (label, budget) not in whole)


def _asked(study: LabelStudy, budget: int) -> str:
    return "all" if budget == ALL else budget_words(study.setup.budgets[budget])


def _judge(
    study: LabelStudy, jobs: Mapping[_Point, list[LabelJob]], metrics: Mapping[str, Mapping[str, str]]
) -> _Judged:
    first = next(iter(study.scores.values()))
    cases, groups = first.cases(), first.groups()
    estimates: dict[str, dict[_Point, Estimated]] = {}
    limits = {}
    for name, about in metrics.items():
        tables = dict(zip(study.scores, shared_tables(list(study.scores.values()), name, cases), strict=True))
        few = [point for point in jobs if point[1] != ALL]
        full = [point for point in jobs if point[1] == ALL]
        stacks = {point: _by_draw(jobs[point], tables) for point in jobs}
        points, ceilings = resample([stacks[one] for one in few], [stacks[one] for one in full], groups)
        estimates[name] = dict(zip([*few, *full], [*points, *ceilings], strict=True))
        limits[name] = bounds(about["kind"], max(row.diagonal for row in first.rows))
    headline = next(iter(metrics))
    sign = 1 if metrics[headline]["better"] == "higher" else -1
    references = {}
    supervised = {one.label for one in study.setup.supervised}
    for budget in {point[1] for point in jobs}:
        rivals = [point for point in jobs if point[1] == budget and point[0] in supervised]
        if rivals:
            references[budget] = max(rivals, key=lambda point: sign * estimates[headline][point].value)
    compared = sum(point[1] != ALL and references.get(point[1], point) != point for point in jobs)
    return _Judged(estimates, references, limits, sign, compared)


def _by_draw(jobs: Sequence[LabelJob], tables: Mapping[str, Values]) -> Values:
    """Scores of each draw, the mean over its seeds; of all labels, of each seed."""
    units: dict[int, list[Values]] = {}
    for job in jobs:
        units.setdefault(job.repetition if job.budget == ALL else job.draw, []).append(tables[job.name])
    return np.stack([np.mean(units[unit], axis=0) for unit in sorted(units)])


def _row(study: LabelStudy, point: _Point, jobs: Sequence[LabelJob], judged: _Judged, passes: float | None) -> LabelRow:
    label, budget = point
    results = [job.result() for job in jobs]
    peaks = [float(one["peak_mib"]) for one in results if one.get("peak_mib") is not None]
    lists = [one for one in study.lists if one.budget == budget]
    reference = judged.references.get(budget)
    compared = budget != ALL and reference not in (None, point)
    differences = {}
    if compared:
        assert reference is not None
        differences = {
            name: difference(of[point], of[reference]).figure(judged.reach(name))
            for name, of in judged.estimates.items()
        }
    cases = fmean(len(one.cases) for one in lists)
    return LabelRow(
        label=label,
        budget=budget,
        asked=_asked(study, budget),
        cases=cases,
        groups=fmean(one.groups for one in lists),
        share=cases / _everything(study.lists),
        supervised=is_supervised(jobs[0].entrant),
        reference=reference == point,
        draws=1 if budget == ALL else study.setup.draws,
        seeds=study.setup.seeds,
        means={name: of[point].figure(judged.limits[name]) for name, of in judged.estimates.items()},
        differences=differences,
        verdict=_verdict(point, judged) if compared and study.setup.draws >= FEWEST_DRAWS else None,
        gap=_gap(study, point, judged) if compared else None,
        bought=_bought(study, point, judged) if compared else None,
        minutes=fmean(float(one["minutes"]) for one in results),
        peak_mib=max(peaks, default=None),
        passes=passes,
    )


def _everything(lists: Sequence[LabelList]) -> int:
    return next(len(one.cases) for one in lists if one.budget == ALL)


def _good(judged: _Judged, point: _Point) -> Estimated:
    """By the first metric, with high values good."""
    found = next(iter(judged.estimates.values()))[point]
    return Estimated(judged.sign * found.value, judged.sign * found.resamples)


def _verdict(point: _Point, judged: _Judged) -> Verdict | None:
    gained = difference(_good(judged, point), _good(judged, judged.references[point[1]]))
    figure = gained.figure(level=1 - 0.05 / max(1, judged.comparisons))
    if figure.low is None or figure.high is None:
        return None
    return "better" if figure.low > 0 else "worse" if figure.high < 0 else "not told apart"


def _gap(study: LabelStudy, point: _Point, judged: _Judged) -> Share:
    full = judged.references.get(ALL)
    if full is None:
        return Share(None, "full supervision is not done")
    found = gap_closed(_good(judged, point), _good(judged, judged.references[point[1]]), _good(judged, full))
    return Share(_with_interval(study, found.figure), found.why)


def _with_interval(study: LabelStudy, figure: Figure | None) -> Figure | None:
    """Without it where there are too few draws."""
    if figure is None or study.setup.draws >= _DRAWS_FOR_RATIOS:
        return figure
    return Figure(figure.value, None, None)


def _bought(study: LabelStudy, point: _Point, judged: _Judged) -> Figure | None:
    """None where the curve of supervised training is not whole."""
    places = [*range(len(study.setup.budgets)), ALL]
    if any(place not in judged.references for place in places):
        return None
    labels = [fmean(len(one.cases) for one in study.lists if one.budget == place) for place in places]
    curve = [_good(judged, judged.references[place]) for place in places]
    return _with_interval(study, labels_bought(_good(judged, point), places.index(point[1]), labels, curve))


def _passes(study: LabelStudy, label: str) -> float | None:
    """Of a run with few labels, where one is done; None where the method cannot be asked so."""
    for job in study.jobs:
        if job.entrant.label == label and job.budget != ALL and job.name in study.scores:
            with suppress(RuntimeError, ValueError, KeyError, TypeError, AttributeError):
                return passes_per_step(load(job.run), Recipe.load(RunFolder(job.run).recipe), unlabeled=True)
            return None
    return None


def write_table(folder: Path, table: StudyTable) -> None:
    """Write `labels.csv` and `labels.json`."""
    write_text(folder / "labels.csv", _csv(table))
    write_json(folder / "labels.json", _plain(asdict(table)))


def _csv(table: StudyTable) -> str:
    """A line for each row."""
    head = ["strategy", "labels", "labeled_cases", "labeled_groups", "labeled_share", "draws", "seeds", "reference"]
    for name in table.metrics:
        head += [f"{name}{end}" for end in ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")]
    head += ["verdict", "gap_closed", "gap_closed_low", "gap_closed_high", "gap_closed_why_not"]
    head += ["more_labels", "more_labels_low", "more_labels_high", "passes", "minutes", "peak_mib"]
    lines = []
    for row in table.rows:
        cells: list[Any] = [row.label, row.asked, f"{row.cases:g}", f"{row.groups:g}", f"{row.share:.4f}", row.draws]
        cells += [row.seeds, "yes" if row.reference else ""]
        for name in table.metrics:
            cells += [*_cells(row.means[name]), *_cells(row.differences.get(name))]
        gap = row.gap
        cells += [row.verdict or "", *_cells(None if gap is None else gap.figure), "" if gap is None else gap.why]
        cells += [*_cells(row.bought), _cell(row.passes), _cell(row.minutes), _cell(row.peak_mib)]
        lines.append(cells)
    return csv_text(head, lines)


def _cells(figure: Figure | None) -> list[str]:
    return ["", "", ""] if figure is None else [_cell(figure.value), _cell(figure.low), _cell(figure.high)]


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return "more than all" if math.isinf(value) else f"{value:.6g}"


def _plain(content: Any) -> Any:
    """For JSON: what is beyond all that was measured as a word."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return "more than all" if isinstance(content, float) and math.isinf(content) else content
