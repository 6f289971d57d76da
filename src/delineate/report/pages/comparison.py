"""The page of a comparison: what can be concluded, then scores, differences, ranks, claims about methods, and the cases."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from delineate.common.errors import DelineateError
from delineate.data.core.findings import count
from delineate.evaluation.comparison.compare import (
    CASES_CSV,
    PAIRS_CSV,
    Comparison,
    MetricComparison,
    cases_csv,
    pairs_csv,
)
from delineate.evaluation.comparison.models import Model
from delineate.evaluation.statistics.mixed import MethodClaim
from delineate.report.charts.forest import Estimate, forest
from delineate.report.html.document import notice, page, section, write_page
from delineate.report.html.downloads import downloads
from delineate.report.html.elements import Html, element, fold, join, number, table
from delineate.report.parts.cases_side_by_side import side_by_side
from delineate.report.parts.distribution import ranked_curves, spread_of
from delineate.report.parts.method_claims import claims, seeds_words
from delineate.report.parts.overlays import Overlays
from delineate.report.parts.pair_differences import differences, matrix, pair_table, scatters
from delineate.report.parts.rank_table import rank_table
from delineate.report.parts.run_record import RunRecord, read_run
from delineate.report.parts.scores import how_scored, policy, range_words, title_of

__all__ = ["Records", "comparison_page", "write_comparison_report"]

_REPORT = "report.html"
_READ = 4
"""So many sentences of a metric are shown at once; further ones unfold. Pairs that were told apart come first."""
_CONTENTS = {
    CASES_CSV: "a line per case: each compared score of each model",
    PAIRS_CSV: "a line per score and pair: difference, interval, tests, effect sizes",
}
_EMPTY = (
    "In this part a distance is 0 where a model correctly marks nothing and another one marks something. A model's own mean above "
    "leaves such cases out, so the difference can differ from that of the two means."
)
Records = Mapping[str, RunRecord]
"""Model → its run, where that is known."""


def write_comparison_report(comparison: Comparison, folder: Path, title: str | None = None) -> Path:
    """Write `report.html` into `folder` and return its path; `title`: default, the models' names."""
    names = [model.name for model in comparison.models]
    title = title or (" against ".join(names) if len(names) < 4 else f"{len(names)} trained models")
    return write_page(folder / _REPORT, comparison_page(comparison, title, folder))


def comparison_page(comparison: Comparison, title: str, folder: Path) -> Html:
    """The whole document; `folder` is where it will lie, for links to run reports.

    Pictures that cannot be drawn (images moved away) are replaced by a sentence.
    """
    records = _records(comparison.models)
    return page(
        title,
        "comparison",
        element("p", _lead(comparison), class_="lead"),
        notice(_cautions(comparison), "Limits of this comparison"),
        section("What can be concluded", *(_reading(comparison, one) for one in comparison.metrics)),
        section("Scores", _score_table(comparison), _class_table(comparison), _run_table(comparison, records, folder)),
        *(_metric(comparison, one) for one in comparison.metrics),
        _pictures(comparison, records),
        section("How this was scored", policy(comparison.models[0].scores_file, whose=False)),
        section(
            "Tables to download",
            downloads(
                {CASES_CSV: cases_csv(comparison).encode(), PAIRS_CSV: pairs_csv(comparison).encode()}, _CONTENTS
            ),
        ),
    )


def _records(models: Sequence[Model]) -> dict[str, RunRecord]:
    found = {}
    for model in models:
        try:
            found.update({model.name: read_run(model.run)} if model.run else {})
        except DelineateError:
            continue
    return found


def _lead(comparison: Comparison) -> str:
    groups = len(set(comparison.groups))
    grouped = f" in {count(groups, 'group')}" if groups < len(comparison.cases) else ""
    how = how_scored(comparison.models[0].scores_file)
    return f"{len(comparison.models)} trained models on {count(len(comparison.cases), 'case')}{grouped}: {how}."


def _cautions(comparison: Comparison) -> list[str]:
    """What a reader must know before comparing the figures."""
    lines = [seeds_words(comparison.seeds), *comparison.cautions]
    if comparison.models[0].scores_file.origin.split == "val":
        lines.append(
            "Weights were chosen on the validation split: its scores do not say how good the models are on new images."
        )
    opened = {model.name: int(model.scores_file.content.get("test_accesses") or 0) for model in comparison.models}
    often = [f"{name} {count}×" for name, count in opened.items() if count > 1]
    if often:
        lines.append(f"The test split was opened more than once with the predictions of: {', '.join(often)}.")
    if len(comparison.models[0].scores_file.classes) > 1:
        lines.append(
            "A case's score is the mean over the classes that count in it; the means in the table of scores are means of the "
            "classes' means, so their differences may not agree in the last digits."
        )
    return [line for line in lines if line]


def _reading(comparison: Comparison, one: MetricComparison) -> Html:
    pairs = sorted(one.pairs, key=lambda pair: 1.0 if pair.adjusted_p is None else pair.adjusted_p)
    claimed = [of.words for of in one.methods if isinstance(of.result, MethodClaim)]
    sentences = [one.rank_words, *claimed, *(pair.words for pair in pairs)]
    shown, hidden = sentences[:_READ], sentences[_READ:]
    rest = fold(f"{len(hidden)} more statements", _list(hidden)) if hidden else None
    return join(element("h3", _title(comparison, one)), _list(shown), rest)


def _list(sentences: Sequence[str]) -> Html:
    return element("ul", *(element("li", words) for words in sentences), class_="reading")


def _score_table(comparison: Comparison) -> Html:
    """All metrics that every model has, in their quoted columns; the compared ones bold."""
    models = comparison.models
    first = models[0].scores_file
    compared = {one.metric for one in comparison.metrics}
    shared = [name for name in first.metrics if all(name in model.scores_file.metrics for model in models)]

    def cell(model: Model, metric: str) -> Html:
        entry = model.scores_file.mean(metric)
        mean = element("b", number(entry["mean"])) if metric in compared else number(entry["mean"])
        return join(mean, element("small", range_words(entry), class_="below"))

    head = ["Model", *(join(title_of(first, name), element("small", first.column_of(name))) for name in shared)]
    rows = [[element("b", model.name), *(cell(model, name) for name in shared)] for model in models]
    return table(head, rows, caption="Means over the cases of the column named, with 95 % intervals beneath")


def _class_table(comparison: Comparison) -> Html | None:
    """The first metric class by class, where there are several."""
    first, metric = comparison.models[0].scores_file, comparison.metrics[0].metric
    if len(first.classes) < 2:
        return None

    def cell(model: Model, name: str) -> Html:
        entry = model.scores_file.mean(metric, of=name)
        return join(number(entry["mean"]), element("small", f"n {entry['n']}"))

    rows = [[model.name, *(cell(model, name) for name in first.classes)] for model in comparison.models]
    return join(element("h3", f"{title_of(first, metric)} per class"), table(["Model", *first.classes], rows))


def _run_table(comparison: Comparison, records: Records, folder: Path) -> Html:
    """Whose models these are, and what their runs took."""
    head, rows = ["Model", "Method", "Seed"], []
    head += ["Parameters", "Images seen", "Training", "Report"] if records else []
    for model in comparison.models:
        record, origin = records.get(model.name), model.scores_file.origin
        summary = record.summary if record else {}
        seed = summary.get("seed") if origin.seed is None else origin.seed
        cells = [model.name, summary.get("method") or origin.method or "–", "–" if seed is None else seed]
        rows.append(cells + (_costs(summary, model.run, folder) if records else []))
    return join(element("h3", "Trained models"), table(head, rows, numeric_from=2))


def _costs(summary: Mapping[str, Any], run: Path | None, folder: Path) -> list[Any]:
    parameters, images, minutes = (summary.get(key) for key in ("parameters", "images_seen", "minutes"))
    return [
        "–" if parameters is None else f"{parameters / 1e6:.2f} M",
        "–" if images is None else f"{images:,}".replace(",", "\u202f"),
        "–" if minutes is None else f"{minutes:.1f} min",
        _link(run, folder),
    ]


def _link(run: Path | None, folder: Path) -> Html | str:
    if run is None or not (run / _REPORT).exists():
        return "–"
    return element("a", "run report", href=quote(Path(os.path.relpath(run / _REPORT, folder)).as_posix()))


def _metric(comparison: Comparison, one: MetricComparison) -> Html:
    """All charts of one metric."""
    title, kind = _title(comparison, one), comparison.models[0].scores_file.metrics[one.metric]["kind"]
    limits = (0.0, 1.0) if kind == "overlap" else None
    means = [
        Estimate.of(of.name, entry, entry["n"])
        for of in comparison.models
        for entry in [of.scores_file.mean(one.metric)]
    ]
    methods = claims(one, title)
    values = {name: [float(value) for value in scores] for name, scores in one.values.items()}
    histograms = [
        spread_of(scores, title=f"{title} of {name}", kind=kind, color=at)
        for at, (name, scores) in enumerate(values.items())
    ]
    ranked = ranked_curves(values, title=f"{title}, cases from worst to best", higher=one.better == "higher", kind=kind)
    drawn = scatters(one, comparison.cases, title, overlap=kind == "overlap")
    more = len(one.pairs) - len(drawn)
    return section(
        f"{title}, column “{one.column}”",
        forest({"": means}, title=title, head=["n"], first="Model", within=limits),
        element("h3", "Differences, case by case"),
        element("p", _EMPTY, class_="note") if kind == "distance" else None,
        differences(one, title),
        matrix(one),
        fold("Tests, effect sizes, and what could have been seen", pair_table(one)),
        *([element("h3", "Methods"), methods] if methods else []),
        *([element("h3", "Ranks and how stable they are"), rank_table(one.ranks, title)] if one.ranks else []),
        element("h3", "Each case"),
        element("div", ranked, *drawn, class_="grid"),
        *([element("p", _undrawn(more), class_="note")] if more > 0 else []),
        fold("Histograms", element("div", *histograms, class_="grid")),
    )


def _undrawn(more: int) -> str:
    return f"{more} pairs with smaller differences are not drawn; all values are in {CASES_CSV}."


def _pictures(comparison: Comparison, records: Records) -> Html | None:
    one = comparison.metrics[0]
    overlays: dict[str, Overlays] = {}
    references = next((record.manifest for record in records.values() if record.manifest), None)
    for model in comparison.models:
        overlays[model.name] = Overlays.find(model.scores_file, references)
        references = references or overlays[model.name].manifest
    scores = {
        name: {case: float(value) for case, value in zip(comparison.cases, values, strict=True) if np.isfinite(value)}
        for name, values in one.values.items()
    }
    content = side_by_side(overlays, scores, one.title, higher=one.better == "higher")
    return section("The same cases side by side", content) if content else None


def _title(comparison: Comparison, one: MetricComparison) -> str:
    return title_of(comparison.models[0].scores_file, one.metric)
