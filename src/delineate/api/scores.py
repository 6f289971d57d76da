"""`evaluate` and `compare`, with their pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.api.arguments import path, several, spacing
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
    """Score a folder of masks against reference masks. Write `scores.csv`, `scores.json` and `report.html` to `out`.

    Predictions and references are matched by file name. A reference without a prediction, and masks of different sizes, are errors.

    Args:
        predictions: Folder of predicted masks.
        references: Folder of reference masks, a dataset, the manifest.json of a run, or a `DataSource`.
        classes: Names of all classes, if neither predictions nor references give them.
        progress: Called with (cases scored, cases in total).

    Returns:
        One row of scores per case and class, their means with 95 % intervals, and how they were computed.

    Raises:
        DataError: Masks do not match, or cannot be read; `out` holds an earlier evaluation and `overwrite` is false.

    Example:
        >>> scores = delineate.evaluate("masks", "polyps", split="all", metrics="dice,iou", out="scores/first", overwrite=True)
        >>> scores.headline("dice")  # mean over cases and classes; here the masks are the references
        1.0
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
        regions=options["regions"],
        progress=progress,
    )
    evaluation = evaluate_folders(Path(predictions), as_source(references), asked, out=out)
    write_evaluation_report(out, evaluation.references)
    return evaluation


@takes(CompareOptions)
def compare(evaluations: Sequence[Path | str], **options: Unpack[CompareOptions]) -> Comparison:
    """Compare trained models case by case. Write `report.html`, `comparison.json`, `pairs.csv` and `cases.csv` to `out`.

    Args:
        evaluations: Run folders (their validation scores), folders that `evaluate` wrote, or texts "NAME=FOLDER". At least two,
            of the same cases.

    Returns:
        For each metric: differences with intervals, paired tests, ranks, and what may be concluded.

    Raises:
        DataError: The evaluations cannot be compared, for example because their references differ; `out` holds an earlier
            comparison and `overwrite` is false.

    Example:
        ```python
        found = delineate.compare(["scores/unet", "scores/condseg"], metrics="dice,hd95_pooled", out="comparison")
        print(found.metrics[0].pairs[0].words)  # the conclusion about the first pair, as a sentence
        ```
    """
    from delineate.common.output_checks import check_new, check_results_folder
    from delineate.evaluation.comparison.compare import compare_models, write_comparison_files
    from delineate.evaluation.comparison.models import open_models
    from delineate.report.pages.comparison import write_comparison_report

    out = Path(options["out"])
    check_new(out, "comparison.json", options["overwrite"])
    models = open_models([str(one) for one in several(evaluations)])
    check_results_folder(out, "comparison.json", [model.run or model.scores_file.folder for model in models])
    comparison = compare_models(models, options["metrics"], target=options["target"])
    write_comparison_files(out, comparison)
    write_comparison_report(comparison, out)
    return comparison
