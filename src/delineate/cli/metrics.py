"""`delineate metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from delineate.evaluation.metrics.listing import MetricRow

__all__ = ["metrics"]


def metrics(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the metrics (for `evaluate --metrics`): name, title, family, kind, which values are better, unit, parameter.

    The kind decides how a case with an empty mask counts. Formulas and
    sources are in docs/metrics.md.

    \b
    delineate metrics
    delineate metrics --json
    """
    from delineate.cli.console import warn
    from delineate.evaluation.metrics.listing import list_metrics

    rows = list_metrics(warn)
    if as_json:
        import json

        typer.echo(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print_table(rows)


def _print_table(rows: list[MetricRow]) -> None:
    from rich.table import Table

    from delineate.cli.console import make_console

    others = any(row.package for row in rows)
    table = Table(caption="parameter: after @, as in nsd@1.5; a family or 'all' stands for its metrics of masks")
    for heading in ("name", "title", "family", "of", "kind", "better", "unit", "parameter", *["package"] * others):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for row in rows:
        title = row.title.replace("{length}", "px")
        cells = (row.name, title, row.family, row.of, row.kind, row.better, row.unit, row.parameter or "")
        table.add_row(*cells, *[row.package or ""] * others)
    make_console().print(table)
