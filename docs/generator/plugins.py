"""What there is by name: options of methods and strategies, metrics, formats."""

from __future__ import annotations

from delineate.data.formats.registry import FORMATS
from delineate.evaluation.metrics.listing import MetricRow, list_metrics
from delineate.methods.built_in import BUILT_IN
from delineate.methods.registry import method_class
from delineate.strategies.built_in import BUILT_IN as BUILT_IN_STRATEGIES
from delineate.strategies.registry import strategy_class
from generator.settings import settings_table
from generator.tables import table


def method_options() -> str:
    """A heading and a table for each method."""
    options = {name: method_class(name).Options for name in BUILT_IN}
    return "".join(f"### {name}\n\n{settings_table(model, 'method.')}\n" for name, model in options.items())


def strategy_options() -> str:
    """A heading and a table for each strategy."""
    options = {name: strategy_class(name).Options for name in BUILT_IN_STRATEGIES}
    return "".join(f"### {name}\n\n{settings_table(model, 'strategy.')}\n" for name, model in options.items())


def metrics() -> str:
    """The metrics of this package, in the order of the tables that `evaluate` writes."""
    head = ["Name", "Title", "Family", "Of", "Kind", "Better", "Unit", "Parameter"]
    return table(head, [_metric(row) for row in list_metrics() if row.package is None])


def _metric(row: MetricRow) -> list[str]:
    title = row.title.replace("{length}", "px")
    return [f"`{row.name}`", title, row.family, row.of, row.kind, row.better, row.unit, row.parameter or ""]


def formats() -> str:
    """The formats of this package: how files are called, and whether masks are written in it."""
    rows = []
    for name in FORMATS.built_in:
        reader = FORMATS.load(name)
        if not reader.suffixes:
            continue  # not a kind of file: parts of files and folders, by addresses of our own
        suffixes = ", ".join(f"`{suffix}`" for suffix in reader.suffixes)
        rows.append([f"`{name}`", suffixes, reader.kind, "yes" if reader.writer else "no"])
    return table(["Name", "Files", "Kind", "Masks are written"], rows)
