"""What is left when a person looks at the masks that the model is least sure of."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from delineate.data.core.findings import count
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.evaluation.statistics.coverage import Coverage, coverage_of
from delineate.report.charts.plots import Series, line_chart
from delineate.report.html.elements import Html, element, join, number, table
from delineate.report.parts.scores import headline_metric, title_of

__all__ = ["coverage_part"]

_QUOTED = 0.1
"""The share whose effect is told in words."""


def coverage_part(scores_file: ScoresFile) -> Html | None:
    """The curve, its table and a sentence; nothing where predictions tell no confidence, or there are too few cases."""
    metric = headline_metric(scores_file)
    told: dict[str, float] = scores_file.content.get("confidence") or {}
    if metric is None or not told or scores_file.metrics[metric]["kind"] != "overlap":
        return None
    scores = {case: value for case, value in _scores(scores_file, metric).items() if case in told}
    groups = {row.case: row.group or row.case for row in scores_file.rows}
    found = coverage_of([told[case] for case in scores], list(scores.values()), [groups[case] for case in scores])
    if found is None:
        return None
    title = title_of(scores_file, metric)
    curves = [
        Series("least sure first", [(100 * x, y) for x, y in zip(found.shares, found.rest, strict=True)]),
        Series(
            "lowest scores first: the best possible",
            [(100 * x, y) for x, y in zip(found.shares, found.best, strict=True)],
        ),
        Series("any cases", [(100 * x, found.rest[0]) for x in found.shares]),
    ]
    by_dice = _by_expected_dice(scores_file, scores, groups)
    if by_dice is not None:
        points = [(100 * x, y) for x, y in zip(by_dice.shares, by_dice.rest, strict=True)]
        curves.insert(1, Series("lowest expected Dice first", points))
    low = max(0.0, min(found.rest[0], *found.rest) - 0.1)
    chart = line_chart(curves, title=f"{title} of the rest", x_label="cases looked at, %", y_limits=(low, 1.0))
    head = ["Looked at", "Cases", f"{title} of the rest", "95 % interval", "Best possible"]
    rows = [
        [f"{share:.0%}", str(cases), number(rest), f"{number(ends[0])} to {number(ends[1])}", number(best)]
        for share, cases, rest, ends, best in zip(
            found.shares, found.looked_at, found.rest, found.intervals, found.best, strict=True
        )
    ]
    return join(
        element("p", _words(found, title)),
        None if by_dice is None else element("p", _expected_words(scores_file, by_dice, scores, title)),
        element("div", chart, class_="grid"),
        table(head, rows, numeric_from=0),
    )


def _by_expected_dice(
    scores_file: ScoresFile, scores: Mapping[str, float], groups: Mapping[str, str]
) -> Coverage | None:
    """The same in the order of the Dice that the model expects; None where it tells none, or not of all that have a confidence."""
    told: dict[str, float] = scores_file.content.get("expected_dice") or {}
    if any(case not in told for case in scores):
        return None
    return coverage_of([told[case] for case in scores], list(scores.values()), [groups[case] for case in scores])


def _expected_words(scores_file: ScoresFile, found: Coverage, scores: Mapping[str, float], title: str) -> str:
    at, (low, high) = found.shares.index(_QUOTED), found.correlation_interval
    told: dict[str, float] = scores_file.content["expected_dice"]
    words = f"By the Dice that the model expects, {title} of the rest is {number(found.rest[at])}"
    if math.isfinite(found.correlation):
        words += f" (Spearman's ρ = {found.correlation:.2f} [{low:.2f}, {high:.2f}])"
    if headline_metric(scores_file) != "dice":
        return f"{words}."
    off = np.mean([abs(told[case] - value) for case, value in scores.items()])
    return f"{words}. Expected and true Dice of a case differ by {number(float(off))} on average."


def _words(found: Coverage, title: str) -> str:
    at = found.shares.index(_QUOTED)
    first = (
        f"If a person looks at the {_QUOTED:.0%} least sure ({count(found.looked_at[at], 'case')}), {title} of the rest is "
        f"{number(found.rest[at])}; of all {found.cases} it is {number(found.rest[0])}."
    )
    if not math.isfinite(found.correlation):
        return f"{first} Confidence or score is the same for all cases."
    low, high = found.correlation_interval
    second = f"Confidence and {title} go together with Spearman's ρ = {found.correlation:.2f} [{low:.2f}, {high:.2f}]."
    third = " This is not told apart from chance: do not order by it." if low <= 0 <= high else ""
    return f"{first} {second}{third}"


def _scores(scores_file: ScoresFile, metric: str) -> dict[str, float]:
    """Case → mean over its classes or regions; those that are not scored are left out."""
    found: dict[str, list[float]] = {}
    for row in scores_file.rows:
        if math.isfinite(value := row.scores.get(metric, math.nan)):
            found.setdefault(row.case, []).append(value)
    return {case: float(np.mean(values)) for case, values in found.items()}
