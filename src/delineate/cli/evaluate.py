"""`delineate evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.cli.progress import progress
from delineate.requests.data import LabeledOptions
from delineate.requests.scores import EvaluateOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from delineate.evaluation.results.evaluate import Evaluation
    from delineate.evaluation.results.protocols import ProtocolScores
    from delineate.evaluation.results.summary import Column, Summary
    from delineate.evaluation.statistics.intervals import Interval

__all__ = ["evaluate", "print_evaluation"]

_MOST_CLASSES = 6
"""More classes than these are told in scores.csv and the report, not on the console."""


@taking(EvaluateOptions, LabeledOptions)
def evaluate(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Folder of predicted masks.")],
    references: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCES", help="Folder of reference masks, a dataset folder, or the manifest.json of a run."
        ),
    ],
    raters: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[MORE_RATERS]...", help="Folders with masks of the same cases by other raters."),
    ] = None,
    **given: Any,
) -> None:
    """Score predicted masks: overlap, distances, lesions and more; each mean has n and a 95 % interval.

    Overlap metrics have two columns: all cases (both masks empty = 1, a miss
    or a false positive = 0), and the cases whose reference has the class.
    Distances have two as well: a miss or a false positive counts as the
    diagonal of the image (penalised), or is left out (found). Masks are
    matched with references by name. Each use of a test split is recorded in
    evaluations.jsonl.

    \b
    delineate evaluate masks/ polyps/ --split test --out scores
    delineate evaluate masks/ hearts/ --stack auto --metrics dice,hd95_pooled --out scores
    delineate evaluate masks/ vessels/masks vessels/masks_2nd_observer --out scores
    delineate evaluate masks/ polyps/ --group-by '^patient\\d+' --subgroups sites.csv --out scores
    """
    from delineate.common.missing_paths import refuse_missing

    refuse_missing(predictions, references)
    from delineate.api import evaluate as run

    source = options.source(references, **part(LabeledOptions, given))
    with progress("scoring") as report:
        evaluation = run(predictions, source, **part(EvaluateOptions, given), raters=raters or (), progress=report)
    print_evaluation(evaluation, given["out"])


def print_evaluation(evaluation: Evaluation, out: Path) -> None:
    """The table, what was found and missed, and where the files are."""
    from delineate.cli.console import make_console
    from delineate.data.core.findings import count, some

    console = make_console()
    summary, origin = evaluation.summary, evaluation.origin
    for note in evaluation.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    if evaluation.protocol is not None and not summary.metrics:
        _print_pooled(console, evaluation.protocol)
    else:
        _print_means(console, evaluation)
    if evaluation.by_class is not None:
        _print_by_class(console, evaluation.by_class)
    for name, seen in summary.outcomes.items():
        beside = f"{seen.not_touched} marked only beside the reference, " if seen.not_touched else ""
        console.print(
            f"{name}: {seen.found} found, {beside}{seen.missed} missed, {seen.false_positive} false positive, "
            f"{seen.both_empty} both empty"
        )
    made = (
        interval.how.partition(" over ")[0]
        for means in summary.macro.values()
        for interval in means.values()
        if interval.n
    )
    for how in dict.fromkeys(made):
        console.print(f"intervals: {how.replace('no interval:', 'none,', 1)}; {origin.grouping}")
    if evaluation.raters:
        _print_raters(console, evaluation)
    if evaluation.references is not None and evaluation.references.labels.reason:
        console.print(f"references: {evaluation.references.labels.reason}", markup=False, highlight=False)
    if evaluation.predictions_read is not None:
        console.print(f"predictions: read as {evaluation.predictions_read}", markup=False, highlight=False)
    if evaluation.unscored:
        names = some(evaluation.unscored)
        number = count(len(evaluation.unscored), "case has", "cases have")
        console.print(f"{number} only ignored pixels in the reference and count nowhere: {names}", markup=False)
    if evaluation.test_accesses:
        in_all = (
            f", {evaluation.test_accesses_in_all}× in all"
            if evaluation.test_accesses_in_all > evaluation.test_accesses
            else ""
        )
        console.print(f"test cases opened {evaluation.test_accesses}× with this model{in_all} (evaluations.jsonl)")
    console.print(f"scores: {out / 'scores.csv'}, {out / 'scores.json'}; report: {out / 'report.html'}")


def _print_means(console: Console, evaluation: Evaluation) -> None:
    """A row per metric and column; columns that are alike, since no mask is empty, share one."""
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count

    summary, origin = evaluation.summary, evaluation.origin
    cases = count(summary.cases, origin.level)
    title = f"{cases}, {origin.protocol_words}, means over {origin.level}s with 95 % intervals"
    rows: list[list[str]] = []
    bold: list[int] = []
    several = {name: means for name, means in summary.classes.items() if 1 < len(summary.classes) <= _MOST_CLASSES}
    for metric in summary.metrics:
        name = f"{metric.titled(origin.length)}{_unit(metric.unit, origin.length, origin.level)}"
        for columns, whole in _alike(summary.macro[metric.name]).items():
            parts = [_figure(means[metric.name][columns[0]].mean) for means in several.values()]
            if summary.column_of(metric.name) in columns:
                bold.append(len(rows))
            rows.append([name, ", ".join(columns), str(whole.n), *parts, _figure(whole.mean), _limits(whole)])
    head = ("metric", "column", "n", *several, f"mean of {summary.of}" if several else "mean", "95 %")
    print_table(console, head, rows, title=title, words=2, bold=bold)


def _print_by_class(console: Console, single: Summary) -> None:
    """Dice of the single classes, where regions were scored."""
    said = []
    for name, means in single.classes.items():
        whole = means["dice"][single.headline_column]
        said.append(f"{name} {_figure(whole.mean)} (n = {whole.n})")
    console.print(f"Dice of single classes: {', '.join(said)}", markup=False, highlight=False)


def _alike(means: Mapping[Column, Interval]) -> dict[tuple[Column, ...], Interval]:
    """Columns with equal means and n, together."""
    found: dict[Interval, tuple[Column, ...]] = {}
    for column, interval in means.items():
        found[interval] = (*found.get(interval, ()), column)
    return {columns: interval for interval, columns in found.items()}


def _print_pooled(console: Console, scores: ProtocolScores) -> None:
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count

    titles = scores.protocol.scores
    rows = [[name, *(_figure(numbers[score]) for score in titles)] for name, numbers in scores.classes.items()]
    print_table(console, ("class", *titles.values()), rows, title=f"{count(scores.cases, 'image')}, {scores.label}")


def _print_raters(console: Console, evaluation: Evaluation) -> None:
    from delineate.cli.tables import print_table

    metric = evaluation.summary.metrics[0]
    rows = []
    for (kind, first, second), summary in evaluation.raters.items():
        whole = summary.macro[metric.name][summary.column_of(metric.name)]
        rows.append([kind, first, second, str(whole.n), _figure(whole.mean), _limits(whole)])
    head = ("", "scored", "against", "n", "mean", "95 %")
    print_table(console, head, rows, title=f"{metric.title} with and among the raters", words=3)


def _unit(unit: str, length: str, level: str) -> str:
    if unit == "length":
        return f", {length}"
    return f", {length}{'³' if level == 'volume' else '²'}" if unit == "size" and length == "mm" else ""


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def _limits(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "–"
    return f"{_figure(interval.low)} … {_figure(interval.high)}"
