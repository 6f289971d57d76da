"""Scores against the size of what was to be found: small structures are usually the hard ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from delineate.data.core.findings import count
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.charts.axes import COLORS, Axes, figure, legend, svg
from delineate.report.html.elements import Html, element, join, number, table
from delineate.report.parts.scores import headline_metric, title_of

__all__ = ["Point", "sizes_part"]

_THIRDS = ("smallest third", "middle third", "largest third")
_NAMED = 10
"""So many of a class, the lowest, tell their names."""
_FEWEST = 6
"""With fewer structures there is no trend to look at."""
Point = tuple[float, float, str]
"""Size in pixels, score, case."""


class _Decades(Axes):
    """A frame whose x axis is the logarithm of a number, with the number beneath."""

    def x_text(self, value: float) -> str:
        return f"{10**value:,.0f}".replace(",", "\u202f")


def sizes_part(scores_file: ScoresFile) -> Html | None:
    """The quoted overlap score of each structure against its pixels in the reference, and its mean over thirds by size.

    Nothing where scores are not of overlap, or too few structures are there.
    """
    metric = headline_metric(scores_file)
    if metric is None or scores_file.metrics[metric]["kind"] != "overlap":
        return None
    points = {name: _points(scores_file, metric, name) for name in scores_file.classes}
    points = {name: found for name, found in points.items() if len(found) >= _FEWEST}
    if not points:
        return None
    title = title_of(scores_file, metric)
    rows = [row for name, found in points.items() for row in _thirds(name, found)]
    head = ["Class", "Structures", "Pixels", f"Mean {title}", "n"]
    return join(element("div", _chart(points, title), class_="grid"), table(head, rows, numeric_from=2))


def _points(scores_file: ScoresFile, metric: str, name: str) -> list[Point]:
    rows = [row for row in scores_file.rows if row.name == name and row.present]
    return [
        (float(row.tp + row.fn), row.scores[metric], row.case)
        for row in rows
        if row.tp + row.fn and math.isfinite(row.scores[metric])
    ]


def _thirds(name: str, points: Sequence[Point]) -> list[list[str]]:
    ordered = sorted(points)
    rows = []
    for which, part in zip(_THIRDS, np.array_split(np.arange(len(ordered)), 3), strict=True):
        members = [ordered[at] for at in part]
        span = f"{members[0][0]:.0f} to {members[-1][0]:.0f}"
        mean = float(np.mean([score for _, score, _ in members]))
        rows.append([name, which, span, number(mean), str(len(members))])
    return rows


def _chart(points: dict[str, list[Point]], title: str) -> Html:
    logs = [math.log10(size) for found in points.values() for size, _, _ in found]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    frame = _Decades((low, high if high > low else low + 1), (0, 1), integers=True)
    heading = f"{title} against size, {count(len(logs), 'structure')}"
    clouds = [_cloud(found, frame, at) for at, found in enumerate(points.values())]
    names = list(points)
    key = legend(names, [f"line s{at % COLORS}" for at in range(len(names))]) if len(names) > 1 else None
    return figure(heading, key, svg(heading, frame.axes("pixels in the reference"), *clouds))


def _cloud(points: Sequence[Point], frame: Axes, at: int) -> Html:
    """All structures of a class as round dots; the lowest tell their names as tooltips."""
    color = f"s{at % COLORS}"
    places = {point: (frame.at_x(math.log10(point[0])), frame.at_y(point[1])) for point in points}
    path = "".join(f"M{x} {y}h0" for x, y in places.values())
    named = sorted(points, key=lambda point: point[1])[:_NAMED]
    return join(
        element("path", d=path, class_=f"cloud {color}"),
        *(_named(point, *places[point]) for point in named),
    )


def _named(point: Point, x: float, y: float) -> Html:
    size, score, case = point
    return element(
        "circle", element("title", f"{case}: {number(score)}, {size:.0f} pixels"), cx=x, cy=y, r=5, class_="touch"
    )
