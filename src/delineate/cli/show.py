"""Tables that several verbs print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from delineate.cli.console import make_console
from delineate.cli.tables import print_table

if TYPE_CHECKING:
    from delineate.api import DemoResult
    from delineate.engine.run import RunResult

__all__ = ["print_demo", "print_run"]


def print_run(result: RunResult) -> None:
    """Where everything lies and how well it went on the validation split; of several processes, the first says it."""
    if not result.first_process:
        return
    console = make_console()
    from delineate.engine.run_folder import RunFolder

    summary = RunFolder(result.folder).read_summary()
    dice = "–" if result.dice is None else f"{result.dice:.4f}"
    what = summary.get("headline", {}).get("words")
    about = "native resolution" if what is None else f"native resolution, {what}"
    console.print(f"validation Dice {dice} ({about}), {result.minutes:.1f} minutes", soft_wrap=True)
    console.print(f"model:  {result.model}")
    console.print(f"report: {result.folder / 'report.html'}")


def print_demo(result: DemoResult) -> None:
    """The demo's table: test scores of each method."""
    from delineate.data.core.findings import count

    console = make_console()
    rows = [[row.method, f"{row.dice:.3f}", f"{row.iou:.3f}", f"{row.minutes:.1f}"] for row in result.rows]
    title = f"phantoms, {count(result.cases, 'test image')}, protocol native, mean over cases"
    print_table(console, ("run", "Dice", "IoU", "minutes"), rows, title=title)
    if result.left_out:
        console.print(f"note: {result.left_out}", soft_wrap=True)
    console.print("One seed each: this compares these two trained models, not the methods.")
    console.print(f"report: {result.report}")
