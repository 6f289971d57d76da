"""`delineate evaluate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from delineate.evaluation.files import Evaluation
    from delineate.evaluation.table import Mean


class Split(StrEnum):
    """Which of a data set's references."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


def evaluate(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Folder of predicted masks.")],
    references: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCES", help="Folder of reference masks, a data set's folder, or a run's manifest.json."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for scores.csv and scores.json.")],
    split: Annotated[
        Split | None,
        typer.Option(help="Part of a data set to score.", show_default="test if there is one, else all"),
    ] = None,
) -> None:
    """Score predicted masks at native resolution: Dice, IoU, precision, recall.

    Two columns: all cases (both empty = 1, miss or false positive = 0), and
    the cases whose reference has the class. A mask is matched with the
    reference of the same name. Each opening of a test split is noted in
    evaluations.jsonl.

    \b
    delineate evaluate masks/ polyps/masks --out scores
    delineate evaluate masks/ polyps/ --split test --out scores
    delineate evaluate masks/ runs/condseg/manifest.json --out scores
    """
    from delineate.evaluation.files import evaluate_folders

    evaluation = evaluate_folders(predictions, references, out=out, split=None if split is None else split.value)
    _print(evaluation, out)


def _print(evaluation: Evaluation, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    summary = evaluation.summary
    headline = summary.headline_column
    table = Table(title=f"{summary.cases} cases, protocol native, mean over cases; headline: {headline}")
    scores = list(summary.macro)
    for heading in ("class", "column", "n", *scores):
        table.add_column(heading, justify="left" if heading in ("class", "column") else "right")
    groups = dict(summary.classes) if len(summary.classes) == 1 else {**summary.classes, "macro": summary.macro}
    for name, means in groups.items():
        for column in ("all", "present"):
            cells = [means[score][column] for score in scores]
            table.add_row(name, column, str(cells[0].n), *(_cell(cell) for cell in cells))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for name, seen in summary.outcomes.items():
        console.print(
            f"{name}: {seen.found} found, {seen.missed} missed, {seen.false_positive} false positive, {seen.both_empty} both empty"
        )
    if evaluation.openings:
        console.print(f"test split opened {evaluation.openings}× with these predictions (evaluations.jsonl)")
    console.print(f"scores: {out / 'scores.csv'}, {out / 'scores.json'}")


def _cell(mean: Mean) -> str:
    return "–" if mean.mean is None else f"{mean.mean:.4f}"
