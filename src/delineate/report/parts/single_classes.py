"""Where regions were scored: what they are made of, and the overlap of the single classes."""

from __future__ import annotations

from typing import Any

from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.html.elements import Html, element, facts, join, number, table

__all__ = ["single_classes"]

_COLUMN = "present"


def single_classes(scores_file: ScoresFile) -> Html | None:
    """None where classes were scored, or nothing is stored of them."""
    regions, means = scores_file.content.get("regions"), scores_file.content.get("by_class")
    if not regions or not means:
        return None
    metrics = list(next(iter(means.values())))
    rows: list[list[Any]] = [
        [element("b", name), *(number(of[metric][_COLUMN]["mean"]) for metric in metrics), of[metrics[0]][_COLUMN]["n"]]
        for name, of in means.items()
    ]
    words = (
        "The same masks class by class, mean over the cases whose reference has the class. Regions, which the other tables are of, "
        "are made of these classes:"
    )
    return join(
        element("p", words, class_="note"),
        facts({name: ", ".join(members) for name, members in regions.items()}),
        table(["Class", *metrics, "n"], rows),
    )
