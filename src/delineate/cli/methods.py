"""`delineate methods`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from delineate.methods.listing import MethodRow

__all__ = ["methods"]


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the methods: name, paper, year, kind, stages, parameters, presets.

    \b
    delineate methods
    delineate methods --json
    """
    from delineate.cli.console import warn
    from delineate.methods.listing import list_methods

    rows = list_methods(warn)
    if as_json:
        import json

        typer.echo(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print_table(rows)


def _print_table(rows: list[MethodRow]) -> None:
    from rich.table import Table

    from delineate.cli.console import make_console

    table = Table(caption="parameters: of the whole network, for RGB images and one foreground class")
    for heading in ("name", "paper", "year", "kind", "stages", "preset", "parameters"):
        justify: Literal["left", "right"] = "right" if heading in ("year", "parameters") else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading in ("name", "preset"))
    for row in rows:
        presets = "\n".join(row.presets)
        counts = "\n".join(f"{row.parameters[preset] / 1e6:.2f} M" for preset in row.presets)
        table.add_row(row.name, row.paper, str(row.year), row.kind, " → ".join(row.stages), presets, counts)
    make_console().print(table)
