"""The page of a comparison."""

from __future__ import annotations

from pathlib import Path

from delineate.evaluation.comparison import Comparison
from delineate.report.html import element
from delineate.report.page import page, section, write_page


def write_comparison_report(comparison: Comparison, folder: Path) -> Path:
    """Write `report.html` into `folder` and return its path."""
    words = [element("p", pair.words) for one in comparison.metrics for pair in one.pairs]
    return write_page(folder / "report.html", page(folder.name, "comparison", section("Reading", *words)))
