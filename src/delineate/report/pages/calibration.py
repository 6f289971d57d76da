"""`calibration.html` of a run: what its probabilities and masks are worth on validation cases, before and after.

Reads only `calibration.json`, which `calibrate` has written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from delineate.artefact.calibration import CalibrationRecord
from delineate.common.files import read_json
from delineate.data.core.findings import count
from delineate.engine.run_folder import RunFolder
from delineate.evaluation.statistics.coverage import coverage_of
from delineate.report.charts.plots import Series, line_chart
from delineate.report.html.document import notice, page, section, write_page
from delineate.report.html.elements import Html, element, number, table

__all__ = ["write_calibration_page"]

_FEW = 5e-4
"""Bins with a smaller share of the pixels are not drawn: they say nothing."""


def write_calibration_page(run: Path) -> Path:
    """Write the page of a run's calibration beside its numbers, and return its path."""
    source, target = RunFolder(run).calibration_files
    content = read_json(source)
    record = CalibrationRecord.model_validate(content["record"])
    document = page(
        run.resolve().name,
        "calibration",
        element(
            "p",
            f"{count(record.cases, 'validation case')} of {count(record.groups, 'group')}, {record.date}. No training or test case "
            "was looked at.",
            class_="lead",
        ),
        notice(list(record.remarks), "About this calibration"),
        _probabilities(record, content),
        _masks(content),
        _expected_dice(record, content),
    )
    return write_page(target, document)


def _probabilities(record: CalibrationRecord, content: Mapping[str, Any]) -> Html | None:
    if record.figures is None:
        return None
    after = "with temperatures" if record.temperatures else "with the temperature that was tried"
    lead = (
        f"Measured on {record.pixels} pixels at the network's size, each case counting the same; 95 % intervals over groups. What "
        f"is “after” comes from {record.folds}-fold cross-validation: no case is judged by temperatures that it helped to fit. "
        "ECE: over the pixels of all cases together, in 15 bins of equal width; the plot leaves out bins with less than 0.05 % of "
        "the pixels."
    )
    rows = [
        [step["what"], step["found"], f"{step['gain']:+.4f} ± {step['error']:.4f}", _yes(step)]
        for step in content["steps"]
    ]
    return section(
        "Probabilities",
        element("p", f"Temperatures in the model: {record.words}."),
        table(["Step", "Found", "NLL less by", "Adopted"], rows),
        table(["Measure", "Before", f"After, {after}", "Change"], [list(row) for row in record.figures.rows]),
        element("div", _reliability(content["reliability"]), class_="grid"),
        lead=lead,
    )


def _reliability(bins: Mapping[str, Any]) -> Html:
    curves = []
    for name in ("before", "after"):
        rows = zip(bins[name]["stated"], bins[name]["right"], bins[name]["share"], strict=True)
        curves.append(Series(name, [(stated, right) for stated, right, share in rows if share >= _FEW]))
    return line_chart(
        [*curves, Series("as stated", [(0, 0), (1, 1)])],
        title="Share of pixels that are what was stated",
        x_label="stated probability",
        y_limits=(0, 1),
    )


def _masks(content: Mapping[str, Any]) -> Html:
    trials = [
        [one["what"], one["best"], f"{one['gain']:+.4f} ± {one['error']:.4f}", _yes(one)] for one in content["trials"]
    ]
    before, after = content["dice"]["before"], content["dice"]["after"]
    rows = [[name, number(value), number(after[name])] for name, value in before.items()]
    return section(
        "Masks",
        table(["Step", "Best", "Dice gained", "Adopted"], trials),
        table(["Class or region", "Dice before", "Dice after"], rows, numeric_from=1),
        lead="Steps of the post-processing, each on top of what was adopted before it, by the mean Dice of these very cases "
        "(column all), which is therefore optimistic.",
    )


def _expected_dice(record: CalibrationRecord, content: Mapping[str, Any]) -> Html | None:
    told = content["expected_dice"]
    if not told["crossed"]:
        return None
    curves = {
        "lowest expected Dice first": coverage_of(told["crossed"], told["dice"], told["groups"]),
        "lowest confidence first": coverage_of(told["confidence"], told["dice"], told["groups"]),
    }
    series, rows = [], []
    for name, found in curves.items():
        if found is not None:
            series.append(Series(name, [(100 * x, y) for x, y in zip(found.shares, found.rest, strict=True)]))
            low, high = found.correlation_interval
            tenth = found.shares.index(0.1)
            rows.append([name, f"{found.correlation:.2f} [{low:.2f}, {high:.2f}]", number(found.rest[tenth])])
    first = next((found for found in curves.values() if found is not None), None)
    if first is not None:
        best = zip(first.shares, first.best, strict=True)
        series.append(Series("lowest scores first: the best possible", [(100 * x, y) for x, y in best]))
        rows.append(["any order", "–", number(first.rest[0])])
    chart = line_chart(series, title="Dice of the rest", x_label="cases looked at, %", y_limits=(_low(told["dice"]), 1))
    words = "not in the model" if record.expected_dice is None else record.expected_dice.words
    return section(
        "Expected Dice",
        element("p", f"{words[0].upper()}{words[1:]}."),
        table(["Order", "Spearman’s ρ with Dice", "Dice of the rest, 10 % looked at"], rows, numeric_from=1),
        element("div", chart, class_="grid"),
        lead="What Dice a mask will have, told by how sure the model is of it. Each case is told by a regression that the other "
        "folds gave.",
    )


def _low(dice: Sequence[float]) -> float:
    return max(0.0, sum(dice) / len(dice) - 0.1)


def _yes(step: Mapping[str, Any]) -> str:
    return "yes" if step["adopted"] else "no"
