"""`delineate compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli.made import taking
from delineate.requests.scores import CompareOptions

if TYPE_CHECKING:
    from delineate.evaluation.comparison.compare import Comparison

__all__ = ["compare"]


@taking(CompareOptions)
def compare(
    evaluations: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN_OR_EVALUATION...",
            help="Run folders (validation scores) or folders of `evaluate`; NAME=FOLDER to name one.",
        ),
    ],
    **given: Any,
) -> None:
    """Compare trained models case by case: differences with intervals, tests with Holm's correction, ranks.

    All must be evaluated on the same cases with the same protocol. Models of
    one method with different seeds are grouped; the comparison is then about
    the methods, with seeds and cases as random effects. With one seed each,
    it is about these trained models only.

    \b
    delineate compare scores/unet scores/condseg --out comparison
    delineate compare A=runs/a B=runs/b --metrics dice,nsd_2 --out comparison
    """
    from delineate.common.missing_paths import refuse_missing

    refuse_missing(*(text if Path(text).exists() else text.rpartition("=")[2] for text in evaluations))
    from delineate.api import compare as run

    _print(run(evaluations, **given), given["out"])


def _print(comparison: Comparison, out: Path) -> None:
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count

    console = make_console()
    for words in comparison.cautions:
        console.print(f"note: {words}")
    for one in comparison.metrics:
        unit = f", {one.unit}" if one.unit else ""
        title = f"{one.title}{unit}, column {one.column}, {count(len(comparison.cases), 'case')}"
        rows = []
        for pair in one.pairs:
            gap = pair.result.difference
            limits = "–" if gap.low is None or gap.high is None else f"{gap.low:+.4f} … {gap.high:+.4f}"
            mean = "–" if gap.mean is None else f"{gap.mean:+.4f}"
            rows.append([pair.first, pair.second, mean, limits, _p(pair.result.permutation_p), _p(pair.adjusted_p)])
        head = ("first", "second", "difference", "95 %", "p", "p (Holm)")
        print_table(console, head, rows, title=title, words=2)
        for words in (*(pair.words for pair in one.pairs), *one.claims, one.rank_words):
            console.print(f"• {words}")
    console.print(f"report: {out / 'report.html'}; tables: pairs.csv, cases.csv, comparison.json")


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
