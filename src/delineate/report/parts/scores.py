"""The tables of one evaluation: means with intervals, outcomes, how it was scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from delineate.evaluation.results.protocols import NATIVE
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.evaluation.results.summary import Column
from delineate.evaluation.statistics.intervals import Interval
from delineate.report.html.elements import Html, element, facts, join, number, table

__all__ = [
    "COLUMN_WORDS",
    "OUTCOMES",
    "SPLITS",
    "Means",
    "case_values",
    "headline_metric",
    "how_scored",
    "interval_of",
    "interval_row",
    "notes",
    "outcome_table",
    "policy",
    "range_words",
    "score_tables",
    "title_of",
]

SPLITS = {"train": "training split", "val": "validation split", "test": "test split", "all": "all cases"}
COLUMN_WORDS: dict[Column, str] = {
    "all": "all cases",
    "present": "cases that have the class",
    "found": "cases in which both masks have the class",
    "penalised": "a miss or a false positive counts as the image's diagonal",
}
"""Column → which cases count, in a few words."""
OUTCOMES = {
    "found": "found",
    "not_touched": "not touched",
    "missed": "missed",
    "false_positive": "false positive",
    "both_empty": "both empty",
}
"""Outcome → in words. Not touched: marked, but nowhere on the reference."""
_WIDE = 12
"""Up to so many classes stand side by side in one table."""
Means = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Metric → column → the stored interval."""


def headline_metric(scores_file: ScoresFile) -> str | None:
    """Dice, or else the first metric; None where no scores of cases are kept (a protocol that pools all pixels)."""
    return "dice" if "dice" in scores_file.metrics else next(iter(scores_file.metrics), None)


def title_of(scores_file: ScoresFile, metric: str) -> str:
    """The metric's title with its unit: "HD95 (pooled), mm"."""
    about, length = scores_file.metrics[metric], scores_file.origin.length
    area = {"image": "mm²", "volume": "mm³"}.get(scores_file.origin.level, "mm") if length == "mm" else length
    unit = {"length": length, "size": area}.get(about["unit"])
    return f"{about['title']}, {unit}" if unit and unit not in about["title"] else about["title"]


def interval_of(entry: Mapping[str, Any]) -> Interval:
    """A stored interval as the statistics know it."""
    return Interval(**{name: entry.get(name) for name in Interval.__dataclass_fields__})  # type: ignore[arg-type]


def range_words(entry: Mapping[str, Any]) -> str:
    """ "0.790 to 0.832", or a dash where there is no interval."""
    if entry.get("low") is None or entry.get("high") is None:
        return "–"
    return f"{number(entry['low'])} to {number(entry['high'])}"


def case_values(scores_file: ScoresFile, metric: str) -> dict[str, float]:
    """Case id → mean over the classes that count in the metric's quoted column; cases where none counts are left out."""
    values = scores_file.values(metric)
    return {
        case: float(np.mean(row[~np.isnan(row)]))
        for case, row in zip(scores_file.cases(), values, strict=True)
        if not np.isnan(row).all()
    }


def how_scored(scores_file: ScoresFile) -> str:
    """Split and protocol in words."""
    return f"{SPLITS.get(scores_file.origin.split, 'cases')}, {scores_file.origin.protocol_words}"


def score_tables(scores_file: ScoresFile) -> Html:
    """All metrics and columns with mean, interval and n: over the classes or regions, then one by one; the quoted column bold."""
    classes, parts = scores_file.classes, []
    if len(classes) > 1:
        parts += [
            element("h3", f"Mean of the {scores_file.of}"),
            _means_table(scores_file, scores_file.content["macro"]),
            *([_side_by_side(scores_file)] if len(classes) <= _WIDE else []),
        ]
    for name in classes:
        means, micro = scores_file.content["classes"][name], scores_file.content.get("micro", {}).get(name, {})
        made = _means_table(scores_file, means, micro)
        if len(classes) == 1:
            return made
        parts.append(element("details", element("summary", name), made))
    return join(*parts)


def notes(scores_file: ScoresFile) -> Html:
    """What mean, micro and intervals are, beneath the tables."""
    table_of = scores_file.content["macro"]
    grouping = scores_file.origin.grouping
    hows = [entry["how"] for columns in table_of.values() for entry in columns.values()]
    ways = dict.fromkeys(how if how.startswith("no ") else how.partition(" over ")[0] for how in hows)
    columns = dict.fromkeys(column for means in table_of.values() for column in means)
    lines = [
        f"Columns: {'; '.join(f'{column}: {COLUMN_WORDS[column]}' for column in columns)}. ",
        join(element("b", "Mean"), " is over cases (macro); ", element("b", "pixels pooled"), " (micro) is one value "),
        "from the pixels of all cases together, in which large structures weigh more. ",
        f"Intervals at 95 %: {'; '.join(way.replace('no interval:', 'none,', 1) for way in ways)}. " if ways else None,
        f"{grouping[:1].upper()}{grouping[1:]}." if ways else None,
    ]
    return element("p", *lines, class_="note")


def outcome_table(scores_file: ScoresFile) -> Html:
    """How often each class was found, marked elsewhere only, missed, falsely marked, correctly left empty."""
    rows = [[name, *(counts[kind] for kind in OUTCOMES)] for name, counts in scores_file.outcomes().items()]
    caption = "Number of cases by outcome; not touched: marked, but nowhere on the reference"
    return table(["Class", *OUTCOMES.values()], rows, caption=caption)


def policy(scores_file: ScoresFile, *, whose: bool = True) -> Html:
    """What each column counts, printed in each report, and where the scores came from; `whose`: which model's they are too."""
    origin = scores_file.origin
    made = {
        "Protocol": origin.protocol_words,
        "A case is": f"one {origin.level}",
        "Lengths are in": {"px": "pixels (spacing not known)", "voxel": "voxels (spacing not known)"}.get(
            origin.length, origin.length
        ),
        "Groups": origin.grouping,
    }
    if whose:
        made["Predictions"] = origin.predictions or "–"
        made["Method"] = f"{origin.method or 'not known'}, seed {'not known' if origin.seed is None else origin.seed}"
    general = None if origin.protocol == NATIVE else ("macro", "interval")
    rows = [
        [name, words] for name, words in scores_file.content["policy"].items() if general is None or name in general
    ]
    counted = table(["Column", "What counts, and as what"], rows, numeric_from=2)
    return join(facts(made), element("div", counted, class_="prose"))


def interval_row(entry: Mapping[str, Any]) -> list[Any]:
    """Mean, interval, n and groups as cells."""
    return [number(entry["mean"]), range_words(entry), entry["n"], entry["groups"]]


def _means_table(scores_file: ScoresFile, means: Means, micro: Mapping[str, float] | None = None) -> Html:
    head = ["Metric", "Column", "Mean", "95 % interval", "n", "Groups", *([] if micro is None else ["Pixels pooled"])]
    rows = []
    for metric, columns in means.items():
        for names, entry in _alike(columns):
            quoted = scores_file.column_of(metric) in names
            cells = interval_row(entry)
            if micro is not None:
                cells.append(number(micro.get(metric)) if quoted else "")
            first = [title_of(scores_file, metric), ", ".join(names), cells[0]]
            rows.append([*((element("b", cell) for cell in first) if quoted else first), *cells[1:]])
    return table(head, rows, numeric_from=2)


def _alike(columns: Mapping[str, Mapping[str, Any]]) -> list[tuple[list[str], Mapping[str, Any]]]:
    """Columns with equal entries, together: without empty masks `all` and `present` are one row."""
    found: list[tuple[list[str], Mapping[str, Any]]] = []
    for column, entry in columns.items():
        same = next((names for names, other in found if other == entry), None)
        if same is None:
            found.append(([column], entry))
        else:
            same.append(column)
    return found


def _side_by_side(scores_file: ScoresFile) -> Html:
    """The quoted column of each metric, a column per class."""

    def cell(metric: str, name: str) -> Html:
        entry = scores_file.mean(metric, of=name)
        return join(number(entry["mean"]), element("small", f"n {entry['n']}"))

    rows: Sequence[Sequence[Any]] = [
        [
            title_of(scores_file, metric),
            scores_file.column_of(metric),
            *(cell(metric, name) for name in scores_file.classes),
        ]
        for metric in scores_file.metrics
    ]
    return join(
        element("h3", scores_file.of.capitalize()),
        table(["Metric", "Column", *scores_file.classes], rows, numeric_from=2),
    )
