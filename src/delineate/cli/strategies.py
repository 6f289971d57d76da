"""`delineate strategies`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from delineate.strategies.listing import StrategyRow

__all__ = ["strategies"]


def strategies(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show the card of this strategy.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the training strategies (for `train --strategy`) with paper, what they need, what a step costs, and options; or show the
    card of one.

    \b
    delineate strategies
    delineate strategies mean-teacher
    delineate strategies --json
    """
    from delineate.cli.console import warn
    from delineate.strategies.listing import list_strategies
    from delineate.strategies.registry import card

    text = None if name is None else card(name)  # tells of an unknown name
    if as_json:
        import json

        rows = [row.to_json() for row in list_strategies(warn) if name in (None, row.name)]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False))
    elif text is not None:
        typer.echo(text.rstrip())
    else:
        _print_table(list_strategies(warn))


def _print_table(rows: list[StrategyRow]) -> None:
    from rich.table import Table

    from delineate.cli.console import make_console

    table = Table(
        caption="cost: of a training step, supervised = 1, with masks for half of the batch; options: set with --set "
        "strategy.NAME=value; all of them with their meaning: docs/reference/options.md"
    )
    for heading in ("name", "paper", "year", "images without masks", "needs of a method", "cost", "options"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("name", "cost"))
    for row in rows:
        options = ", ".join(f"{option}={value}" for option, value in row.options.items())
        unlabeled = "used" if row.uses_unlabeled else "as the method"
        table.add_row(row.name, row.paper, str(row.year), unlabeled, _needs(row), f"{row.step_cost:.3g}", options)
    make_console().print(table)


def _needs(row: StrategyRow) -> str:
    """What a method must have; memory for a second network among it."""
    needs = [] if "episodic" in row.kinds else ["segments an image by itself"]
    needs += ["encode and decode"] if row.needs_encode_decode else []
    needs += [f"memory for {row.networks} networks"] if row.networks > 1 else []
    return ", ".join(needs) or "any"
