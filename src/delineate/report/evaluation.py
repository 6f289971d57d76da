"""The page of one evaluation: what was scored and how, the table with intervals, the policy."""

from __future__ import annotations

from pathlib import Path

from delineate.report.html import element
from delineate.report.page import page, section, write_page
from delineate.report.scores import Scores, outcome_table, score_table


def write_evaluation_report(folder: Path) -> Path:
    """Write `report.html` into a folder that `evaluate` wrote, and return its path. Raises `DataError` as `Scores.read`."""
    scores = Scores.read(folder)
    lead = element("p", f"{scores.split_words}, {scores.protocol}", class_="lead")
    document = page(folder.name, "evaluation", lead, section("Scores", score_table(scores), outcome_table(scores)))
    return write_page(folder / "report.html", document)
