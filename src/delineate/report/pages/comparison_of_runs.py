"""The comparison's page for trained models of which run, predictions and scores are at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from delineate.evaluation.comparison.compare import compare_models
from delineate.evaluation.comparison.models import Model, check_comparable
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.html.document import write_page
from delineate.report.pages.comparison import comparison_page

__all__ = ["ComparedRun", "write_comparison"]


@dataclass(frozen=True)
class ComparedRun:
    """One trained model in a comparison."""

    name: str
    run: Path
    """Its run folder."""
    predictions: Path
    """Folder that `predict` wrote."""
    evaluation: Path
    """Folder with `scores.json` and `scores.csv` of those predictions."""


def write_comparison(title: str, runs: list[ComparedRun], out: Path) -> Path:
    """Write the page to `out` and return that path.

    Raises `DataError` when an evaluation cannot be read, and for evaluations that cannot be compared.
    """
    models = [Model(entry.name, _stored(entry), entry.run) for entry in runs]
    check_comparable(models)
    return write_page(out, comparison_page(compare_models(models), title, out.parent))


def _stored(entry: ComparedRun) -> ScoresFile:
    scores_file = ScoresFile.read(entry.evaluation)
    return replace(scores_file, content={**scores_file.content, "predictions": str(entry.predictions)})
