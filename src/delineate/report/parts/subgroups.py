"""Scores by attributes of the cases, with the warning that belongs to looking at many of them."""

from __future__ import annotations

from typing import Any

from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.charts.forest import Estimate, forest
from delineate.report.html.document import notice
from delineate.report.html.elements import Html, element, fold, join, table
from delineate.report.parts.scores import headline_metric, interval_row, title_of

__all__ = ["subgroups_part"]


def subgroups_part(scores_file: ScoresFile) -> Html | None:
    """Warning, forest plot of the quoted metric, table of all; nothing where no attributes were given."""
    content, metric = scores_file.content.get("subgroups"), headline_metric(scores_file)
    if not content or metric is None:
        return None
    column, attributes = scores_file.column_of(metric), content["attributes"]
    whole = scores_file.mean(metric)
    rows = {"": [Estimate.of("all cases", whole, whole["n"], whole["groups"], strong=True)]}
    for attribute in attributes:
        heading = f"{attribute['name']} ({attribute['cut']})" if attribute["cut"] else attribute["name"]
        rows[heading] = [
            Estimate.of(level["level"], entry, entry["n"], entry["groups"])
            for level in attribute["levels"]
            for entry in [level["means"][metric][column]]
        ]
    chart = forest(
        rows,
        title=f"{title_of(scores_file, metric)}, column “{column}”",
        head=["n", "groups"],
        first="Subgroup",
        rule=None if whole["mean"] is None else (whole["mean"], "the mean of all cases"),
        within=(0.0, 1.0) if scores_file.metrics[metric]["kind"] == "overlap" else None,
    )
    listed: list[list[Any]] = [
        [attribute["name"], level["level"], title_of(scores_file, name), at, *interval_row(entry)]
        for attribute in attributes
        for level in attribute["levels"]
        for name, columns in level["means"].items()
        for at, entry in columns.items()
    ]
    head = ["Attribute", "Level", "Metric", "Column", "Mean", "95 % interval", "n", "Groups"]
    return join(
        notice([f"{content['warning']}."], "Many subgroups"),
        chart,
        *(element("p", f"{note}.", class_="note") for note in content["notes"]),
        fold("All metrics", table(head, listed, numeric_from=4)),
    )
