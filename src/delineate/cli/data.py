"""`delineate data`: look at a data set before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from delineate.data.check import CheckReport

app = typer.Typer(no_args_is_help=True, help="Look at a data set before training on it.")

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@app.callback()
def _group() -> None:
    """Keeps `check` a sub-command while it is the only one."""


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with images and masks.")],
    max_megapixels: Annotated[
        float, typer.Option(help="Refuse images with more megapixels than this.", min=0.0001)
    ] = 400.0,
) -> None:
    """Show what was matched, sizes, channels, label values and splits; name every fault and how to mend it.

    The exit code is 2 when training could not use the data.

    Examples:

        delineate data check polyps/

        delineate data check slides/ --max-megapixels 1000
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from delineate.data.check import check as examine_folder

    errors = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("")
        report = examine_folder(
            folder,
            max_pixels=round(max_megapixels * 1e6),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _show(report, Console())
    if not report.usable:
        raise typer.Exit(2)


def _show(report: CheckReport, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    if report.rows:
        table = Table(title=escape(str(report.folder)), show_header=False, title_justify="left")
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in report.rows:
            table.add_row(name, escape(value))
        console.print(table)
    for finding in report.findings:
        colour = _COLOURS[finding.severity]
        console.print(f"[{colour}]{finding.severity}:[/] {escape(finding.text)}", highlight=False, soft_wrap=True)
        if finding.mend:
            console.print(f"  → {escape(finding.mend)}", highlight=False, soft_wrap=True)
    if report.usable:
        console.print("[green]ready to train on[/]")
