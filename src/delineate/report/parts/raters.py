"""Several raters: the prediction against each and their majority, and how well the raters agree with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from delineate.evaluation.results.scores_file import ScoresFile
from delineate.evaluation.statistics.interpretation import interval_words
from delineate.report.charts.forest import Estimate, forest
from delineate.report.html.elements import Html, element, fold, join, table
from delineate.report.parts.scores import headline_metric, interval_of, interval_row, title_of

__all__ = ["raters_part"]

_HEADINGS = {
    "rater": "The prediction against each rater",
    "majority": "The prediction against the raters' majority",
    "between raters": "Raters against each other: how well people agree",
    "rater against the others": "Each rater against the majority of the others",
}
"""Kind of comparison → heading."""


def raters_part(scores_file: ScoresFile) -> Html | None:
    """Chart, reading and tables; nothing where there is one rater."""
    content, metric = scores_file.content.get("raters"), headline_metric(scores_file)
    if not content or metric is None:
        return None
    tables: Sequence[Mapping[str, Any]] = content["tables"]
    column = scores_file.column_of(metric)
    rows: dict[str, list[Estimate]] = {}
    for one in tables:
        entry = one["means"][metric][column]
        heading = _HEADINGS.get(one["kind"], one["kind"])
        human = one["kind"] not in ("rater", "majority")
        rows.setdefault(heading, []).append(Estimate.of(_pair(one), entry, entry["n"], strong=human))
    within = (0.0, 1.0) if scores_file.metrics[metric]["kind"] == "overlap" else None
    chart = forest(
        rows, title=f"{title_of(scores_file, metric)}, column “{column}”", head=["n"], first="Whose mask", within=within
    )
    others = [
        [_pair(one), title_of(scores_file, name), at, *interval_row(entry)]
        for one in tables
        for name, columns in one["means"].items()
        for at, entry in columns.items()
    ]
    head = ["Whose mask", "Metric", "Column", "Mean", "95 % interval", "n", "Groups"]
    return join(
        element("p", _reading(scores_file, tables, metric)),
        chart,
        element("p", f"{content['rule']}.", class_="note"),
        fold("All metrics", table(head, others, numeric_from=3)),
    )


def _pair(one: Mapping[str, Any]) -> str:
    return f"{one['prediction']} against {one['reference']}"


def _reading(scores_file: ScoresFile, tables: Sequence[Mapping[str, Any]], metric: str) -> str:
    """What the agreement of the raters says, and what it does not."""
    column, title = scores_file.column_of(metric), title_of(scores_file, metric)
    among = [one["means"][metric][column] for one in tables if one["kind"] == "between raters"]
    means = [entry["mean"] for entry in among if entry["mean"] is not None]
    if not means:
        return "The raters cannot be scored against each other: no case counts."
    if len(among) == 1:
        reach = f"The two raters reach {title} {interval_words(interval_of(among[0]))} against each other."
    else:
        lowest, highest = (interval_of(pick(among, key=_mean)) for pick in (min, max))
        reach = f"The raters' pairs reach {title} from {interval_words(lowest)} to {interval_words(highest)}."
    return (
        f"{reach} A prediction that agrees with one rater more than the raters agree with each other is not better than they are: "
        "it may have learned that rater's habits."
    )


def _mean(entry: Mapping[str, Any]) -> float:
    return float("nan") if entry["mean"] is None else float(entry["mean"])
