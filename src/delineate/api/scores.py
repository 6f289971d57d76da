"""`evaluate` and `compare`, with their pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.api.arguments import path, spacing
from delineate.requests.scores import CompareOptions, EvaluateOptions
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.data.core.manifest import ClassTable
    from delineate.data.layouts.source import DataSource
    from delineate.evaluation.comparison.compare import Comparison
    from delineate.evaluation.results.evaluate import Evaluation

__all__ = ["compare", "evaluate"]


@takes(EvaluateOptions)
def evaluate(
    predictions: Path | str,
    references: Path | str | DataSource,
    *,
    classes: ClassTable | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[EvaluateOptions],
) -> Evaluation:
    """Score a folder of masks against the reference masks; write `scores.csv`, `scores.json` and `report.html` to `out`.

    How names are paired, and what is an error, says `delineate.evaluation.results.evaluate.evaluate_folders`.

        scores = delineate.evaluate("masks/", "polyps/", split="test", out="scores")
        scores.headline("dice")

    Args:
        predictions: Folder of predicted masks.
        references: Folder of reference masks, a data set, a run's manifest.json, or a `DataSource`.
        classes: Names of all classes, where neither predictions nor references tell.
        progress: Called with (cases scored, cases in all).

    Returns:
        Rows, means with intervals, and how they were made.

    Raises:
        DataError: One line for whatever a user can mend; an earlier evaluation in `out` unless `overwrite`.
    """
    from delineate.common.output_checks import check_new
    from delineate.data.layouts.source import as_source
    from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
    from delineate.report.pages.evaluation import write_evaluation_report

    out = Path(options["out"])
    check_new(out, "scores.json", options["overwrite"])
    asked = EvaluationOptions(
        split=options["split"],
        metrics=options["metrics"] or (),
        spacing=spacing(options["spacing"]),
        stack=options["stack"],
        group_by=options["group_by"],
        raters=[Path(folder) for folder in options["raters"]],
        subgroups=path(options["subgroups"]),
        protocol=options["protocol"],
        classes=classes,
        progress=progress,
    )
    evaluation = evaluate_folders(Path(predictions), as_source(references), asked, out=out)
    write_evaluation_report(out, evaluation.references)
    return evaluation


@takes(CompareOptions)
def compare(evaluations: Sequence[Path | str], **options: Unpack[CompareOptions]) -> Comparison:
    """Compare runs or evaluations case by case; write `report.html`, `comparison.json`, `pairs.csv` and `cases.csv` to `out`.

        found = delineate.compare(["scores/unet", "scores/condseg"], out="comparison")
        found.metrics[0].pairs[0].words

    Args:
        evaluations: Run folders (their validation scores), folders that `evaluate` wrote, or texts "NAME=FOLDER".

    Returns:
        Differences, tests, ranks, and what may be said of them.

    Raises:
        DataError: Evaluations that cannot be compared; an earlier comparison in `out` unless `overwrite`.
    """
    from delineate.common.output_checks import check_new, check_results_folder
    from delineate.evaluation.comparison.compare import compare_models, write_comparison_files
    from delineate.evaluation.comparison.models import open_models
    from delineate.report.pages.comparison import write_comparison_report

    out = Path(options["out"])
    check_new(out, "comparison.json", options["overwrite"])
    models = open_models([str(one) for one in evaluations])
    check_results_folder(out, "comparison.json", [model.run or model.scores_file.folder for model in models])
    comparison = compare_models(models, options["metrics"], target=options["target"])
    write_comparison_files(out, comparison)
    write_comparison_report(comparison, out)
    return comparison
