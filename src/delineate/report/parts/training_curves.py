"""Training curves from the validations logged in `metrics.jsonl`."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

from delineate.report.charts.plots import Mark, Series, line_chart
from delineate.report.html.document import section
from delineate.report.html.elements import Html, element

__all__ = ["Record", "curves"]

Record = dict[str, Any]


def curves(metrics: list[Record], summary: dict[str, Any]) -> Html:
    """Validation Dice and learning rate over the whole run, the losses stage by stage."""
    if not metrics:
        return section("Curves", element("p", "No validation was logged yet.", class_="note"))
    stages = [
        (name, list(records)) for name, records in groupby(metrics, key=lambda record: str(record.get("stage", "")))
    ]
    offsets = _offsets(stages, summary)
    charts = [_dice(stages, offsets), _learning_rate(stages, offsets)]
    for name, records in stages:
        suffix = f", stage {name}" if len(stages) > 1 else ""
        charts += [_terms(records, suffix), _totals(records, suffix)]
    return section(
        "Curves",
        element("div", *charts, class_="grid"),
        lead="One point per validation. Dice here is measured at the working size, to choose the weights; training terms are "
        "means since the validation before.",
    )


def _offsets(stages: list[tuple[str, list[Record]]], summary: dict[str, Any]) -> dict[str, int]:
    """Steps done before each stage: as planned, or as far as the stage before went if it stopped early."""
    offset, result = 0, {}
    for name, records in stages:
        result[name] = offset
        offset += int(records[-1].get("step", 0))
    return result


def _dice(stages: list[tuple[str, list[Record]]], offsets: dict[str, int]) -> Html:
    lines = [
        Series(name, [(offsets[name] + _step(record), _get(record, "val", "dice")) for record in records])
        for name, records in stages
    ]
    seen = [point for line in lines[-1:] for point in line.points if math.isfinite(point[1])]
    if not seen:
        return element("p", "No validation gave a Dice.", class_="note")
    x, best = max(seen, key=lambda point: (point[1], -point[0]))
    marks = [Mark(x, best, f"best {best:.3f}")]
    return line_chart(lines, title="Validation Dice", x_label="step", y_limits=(0, 1), marks=marks)


def _learning_rate(stages: list[tuple[str, list[Record]]], offsets: dict[str, int]) -> Html:
    lines = [
        Series(name, [(offsets[name] + _step(record), _get(record, "lr")) for record in records])
        for name, records in stages
    ]
    return line_chart(lines, title="Learning rate", x_label="step")


def _terms(records: list[Record], suffix: str) -> Html:
    names = [name for name in records[0].get("loss", {}) if name != "total"]
    lines = [Series(name, [(_step(record), _get(record, "loss", name)) for record in records]) for name in names]
    return line_chart(lines, title=f"Training loss terms{suffix}", x_label="step")


def _totals(records: list[Record], suffix: str) -> Html:
    training = Series("training", [(_step(record), _get(record, "loss", "total")) for record in records])
    validation = Series("validation", [(_step(record), _get(record, "val", "loss", "total")) for record in records])
    return line_chart([training, validation], title=f"Total loss{suffix}", x_label="step")


def _step(record: Record) -> float:
    return _get(record, "step")


def _get(record: Any, *keys: str) -> float:
    """A number deep in a record; NaN (which no chart draws) when it is not there."""
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return float(record) if isinstance(record, int | float) else float("nan")
