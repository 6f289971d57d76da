"""The page of a study of few labels: what can be concluded, the curve, the table with its bill, the same cases side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delineate.data.core.findings import count
from delineate.data.core.manifest import Manifest
from delineate.data.splits.label_budget import list_hash
from delineate.evaluation.statistics.label_gain import Figure
from delineate.report.charts.counts import CountPoint, CountSeries, count_chart
from delineate.report.html.document import notice, page, section, write_page
from delineate.report.html.elements import Html, element, facts, fold, join, number, table
from delineate.report.parts.cases_side_by_side import side_by_side
from delineate.report.parts.overlays import Overlays
from delineate.report.parts.scores import case_values
from delineate.studies.labels.draws import ALL
from delineate.studies.labels.results import LabelRow, StudyTable
from delineate.studies.labels.setup import LabelSetup, budget_words
from delineate.studies.labels.study import SCORED, LabelStudy
from delineate.studies.labels.words import bought_words, cautions, conclusions, gap_words, range_words, signed

__all__ = ["write_label_report"]

_REPORT = "report.html"


def write_label_report(study: LabelStudy, result: StudyTable) -> Path:
    """Write `report.html` into the study's folder and return its path."""
    setup = study.setup
    failed = [f"{name}: {error}" for name, error in result.failures.items()]
    document = page(
        f"Few labels on {Path(setup.data).name}",
        "study of few labels",
        element("p", _lead(study, result), class_="lead"),
        notice(failed, "Runs that failed"),
        notice([*result.incomplete], "Left out, since some of their runs are not done"),
        notice(cautions(setup, result), "Read this first"),
        notice(list(study.pool.leaks or ()), "Images in more than one split"),
        section("What can be concluded", element("ul", *(element("li", line) for line in conclusions(setup, result)))),
        section("Scores by number of labels", *_charts(result), _scores(result), lead=_scores_lead(setup)),
        section("What was gained", _gains(result), lead=_gains_lead(setup, result)),
        section("What it costs", _costs(result), lead=_costs_lead()),
        _pictures(study),
        section("The labels", _lists(study)),
        section("The setup", _setup(study)),
    )
    return write_page(study.folder / _REPORT, document)


def _lead(study: LabelStudy, result: StudyTable) -> str:
    setup = study.setup
    numbers = ", ".join(map(budget_words, setup.budgets))
    return (
        f"{setup.method} ({setup.preset}) trained in {count(len(setup.entrants), 'way')} with {numbers} and all labels, "
        f"{count(setup.draws, 'draw')} of labels, {count(setup.seeds, 'seed')} each, {setup.steps} steps every run; scored on "
        f"{count(result.tests, 'test case')} at native resolution."
    )


def _charts(result: StudyTable) -> list[Html]:
    charts = []
    for name, about in result.metrics.items():
        full = next((row for row in result.rows if row.budget == ALL and row.reference), None)
        charts.append(
            count_chart(
                _series(result, name),
                title=f"{about['title']}, {result.columns[name]}",
                x_label="labeled cases (logarithmic)",
                rule=None if full is None else (full.means[name].value, "full supervision"),
            )
        )
    return [element("div", *charts, class_="grid")]


def _series(result: StudyTable, metric: str) -> list[CountSeries]:
    found = []
    for label in dict.fromkeys(row.label for row in result.rows):
        rows = [row for row in result.rows if row.label == label]
        points = [CountPoint(row.cases, (one := row.means[metric]).value, one.low, one.high) for row in rows]
        found.append(CountSeries(label, points))
    return found


def _scores_lead(setup: LabelSetup) -> str:
    over = "over all of these (test cases by patient)" if setup.draws > 1 else "over test cases (by patient) alone"
    return (
        f"Means over test cases, draws of labels and seeds with 95 % intervals {over}. The same draws for every way of training; "
        "within a draw a smaller number of labels is part of a larger one. Labels that validate are counted."
    )


def _scores(result: StudyTable) -> Html:
    head: list[Any] = ["Labels", "Way of training", "Cases", "Share", "Draws × seeds"]
    for name, about in result.metrics.items():
        head.append(join(about["title"], element("small", f" {result.columns[name]}")))
    rows = []
    for row in result.rows:
        cells: list[Any] = [
            _asked(row),
            _name(row),
            _cases(row),
            f"{100 * row.share:.1f} %",
            f"{row.draws} × {row.seeds}",
        ]
        cells += [
            join(element("b", number(one.value)), element("small", f" {range_words(one)}"))
            for one in row.means.values()
        ]
        rows.append(cells)
    return table(head, rows, numeric_from=2)


def _gains_lead(setup: LabelSetup, result: StudyTable) -> str:
    title = result.metrics[result.headline]["title"]
    over = "cases, draws and seeds" if setup.draws > 1 else "cases alone"
    return (
        "Differences to supervised training with as many labels, paired by case, draw and seed. Share of the gap: (this − "
        f"supervised) / (full supervision − supervised) in {title}; where the gap itself is not clearly above 0 it is not defined. "
        "More labels: how many more would have brought supervised training as far, read off its own curve (made monotone, linear "
        "in the logarithm of the number); “none” and “more than all” are outside of what was measured. "
        f"Intervals are 95 %, over {over}."
    )


def _gains(result: StudyTable) -> Html:
    head: list[Any] = ["Labels", "Way of training"]
    head += [f"{about['title']} − supervised" for about in result.metrics.values()]
    head += ["Verdict", "Share of the gap closed", "More labels that bring as much"]
    rows = []
    for row in result.rows:
        if not row.differences:
            continue
        cells: list[Any] = [_asked(row), _name(row)]
        cells += [_difference(one) for one in row.differences.values()]
        cells += [row.verdict or "no claim", gap_words(row), bought_words(row)]
        rows.append(cells)
    return table(head, rows, numeric_from=2) if rows else element("p", "Nothing to compare.", class_="note")


def _difference(figure: Figure) -> Html:
    return join(element("b", signed(figure.value)), element("small", f" {range_words(figure)}"))


def _costs_lead() -> str:
    return (
        "Passes: images through the first layer of all networks of the strategy in a step, per image of the batch (counted; "
        "without gradients, too). Minutes of training are means of the runs, on a machine that may have done other work; peak "
        "memory is the largest of the process in training and prediction (GPU: allocated)."
    )


def _costs(result: StudyTable) -> Html:
    head = ["Labels", "Way of training", "Passes per step", "Minutes", "Peak MiB"]
    return table(head, [_cost_line(row) for row in result.rows], numeric_from=2)


def _cost_line(row: LabelRow) -> list[Any]:
    peak = "–" if row.peak_mib is None else f"{row.peak_mib:.0f}"
    return [_asked(row), _name(row), number(row.passes), number(row.minutes), peak]


def _pictures(study: LabelStudy) -> Html | None:
    """Of the fewest labels, the first draw and its first seed, and of full supervision."""
    setup = study.setup
    chosen = {}
    for job in study.jobs:
        first = job.draw == 0 and job.repetition == 0 and job.budget in (0, ALL)
        if first and job.name in study.scores:
            name = f"{job.entrant.label}, {'all labels' if job.budget == ALL else job.words}"
            chosen[name] = study.scores[job.name]
    order = sorted(chosen, key=lambda name: name.endswith("all labels"))
    manifest = Manifest.load(study.folder / SCORED)
    metric = next(iter(next(iter(study.scores.values())).metrics))
    overlays = {name: Overlays.find(chosen[name], manifest) for name in order}
    scores = {name: case_values(chosen[name], metric) for name in order}
    higher = chosen[order[0]].metrics[metric]["better"] == "higher" if order else True
    shown = side_by_side(overlays, scores, metric.capitalize(), higher=higher) if order else None
    few, full = f"with {budget_words(setup.budgets[0])} of draw 0", "with all labels"
    shown_with = [few] if any(not name.endswith("all labels") for name in order) else []
    shown_with += [full] if any(name.endswith("all labels") for name in order) else []
    lead = f"One trained model each, {', and '.join(shown_with)}."
    return section("The same cases side by side", shown, lead=lead) if shown else None


def _lists(study: LabelStudy) -> Html:
    setup = study.setup
    rows = []
    for one in study.lists:
        asked = "all" if one.budget == ALL else budget_words(setup.budgets[one.budget])
        draw = "–" if one.budget == ALL else str(one.draw)
        rows.append([asked, draw, one.groups, len(one.training), len(one.validation), list_hash(one.cases)[:12]])
    head = ["Labels", "Draw", "Groups", "Train", "Validate", "Hash of the list"]
    names = [
        fold(f"{row[0]}, draw {row[1]}", element("p", ", ".join(one.cases)))
        for row, one in zip(rows, study.lists, strict=True)
    ]
    return join(table(head, rows), *names[:-1])


def _setup(study: LabelStudy) -> Html:
    setup = study.setup
    inside = setup.validation == "inside"
    ways = {one.label: one.options["strategy"] for one in setup.entrants}
    return facts(
        {
            "Data": setup.data,
            "Splits": study.pool.split_origin,
            "Method": f"{setup.method}, preset {setup.preset}",
            "Working size": setup.size or "the preset’s",
            "Steps of a run": setup.steps,
            "Weights": "best on a fifth of the labeled groups" if inside else "those after the last step",
            "Averaged weights": f"decay {setup.ema:g}" if setup.ema else "no",
            "Not used": _unused(study),
            "Unlabeled images": "the rest of the training split; no run reads their masks",
            **{f"“{label}”": ", ".join(f"{key}={value}" for key, value in way.items()) for label, way in ways.items()},
            **({"Settings": ", ".join(setup.settings)} if setup.settings else {}),
        }
    )


def _unused(study: LabelStudy) -> str:
    left = sum(case.split is None for case in study.pool.cases)
    return f"{count(left, 'case')}: the data’s own validation split, and what is in no split" if left else "nothing"


def _asked(row: LabelRow) -> str:
    return "all" if row.budget == ALL else row.asked


def _name(row: LabelRow) -> Html:
    return join(
        element("b", row.label), element("small", " (reference)") if row.reference and row.budget != ALL else None
    )


def _cases(row: LabelRow) -> str:
    return f"{row.cases:.0f}" if row.cases == round(row.cases) else f"{row.cases:.1f}"
