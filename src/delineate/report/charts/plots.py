"""Small charts as inline SVG that take their colors from the page, so that they follow its light and dark dress.

Series differ in color and in dash, so that they can be told apart without color. Every mark carries its value as a
tooltip (`<title>`), which screen readers read too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from delineate.report.charts.axes import BOTTOM, COLORS, HEIGHT, LEFT, TOP, WIDTH, Axes, figure, legend, short, svg
from delineate.report.html.elements import Html, element, join, number

__all__ = [
    "Mark",
    "Series",
    "histogram",
    "line_chart",
]

_MARKED = 60
"""Up to so many points are marked by dots."""


@dataclass(frozen=True)
class Series:
    """A named line through (x, y) points; points that are not finite are left out."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A point worth pointing at."""

    x: float
    y: float
    text: str


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_limits: tuple[float, float] | None = None,
    marks: Sequence[Mark] = (),
) -> Html:
    """Lines over a common x axis as a `<figure>`; the y axis starts at 0 unless a value is negative or limits are given."""
    drawn = [Series(one.name, [p for p in one.points if all(map(math.isfinite, p))]) for one in series]
    points = [point for one in drawn for point in one.points]
    if not points:
        return figure(title, None, element("p", "No finite values were logged.", class_="note"))
    top = max(y for _, y in points)
    low, high = y_limits or (min(0.0, *(y for _, y in points)), top if top > 0 else 1.0)
    start, end = min(0.0, *(x for x, _ in points)), max(x for x, _ in points)
    frame = Axes((start, end if end > start else start + 1), (low, high if high > low else low + 1), integers=True)
    lines = join(*(_line(one, at, frame) for at, one in enumerate(drawn)))
    pointers = join(*(_mark(mark, frame) for mark in marks))
    drawing = svg(title, frame.axes(x_label), lines, pointers)
    return figure(title, legend([one.name for one in drawn]) if len(drawn) > 1 else None, drawing)


def histogram(
    values: Sequence[float],
    *,
    title: str,
    x_label: str,
    bins: int = 20,
    limits: tuple[float, float] = (0, 1),
    color: int = 0,
) -> Html:
    """Counts of values in equal bins over `limits` (the last bin includes its upper edge), with mean and median marked."""
    shown = [value for value in values if math.isfinite(value)]
    if not shown:
        return figure(title, None, element("p", "No values.", class_="note"))
    low, high = limits
    counts = [0] * bins
    for value in shown:
        counts[min(bins - 1, max(0, int((value - low) / (high - low) * bins)))] += 1
    frame = Axes(limits, (0, max(counts)), integers=False, whole_y=True)
    step = (high - low) / bins
    bars = join(*(_bar(low + at * step, step, count, frame, color) for at, count in enumerate(counts) if count))
    centers = {"mean": sum(shown) / len(shown), "median": median(shown)}
    rules = join(
        *(_rule(value, f"{name} {number(value)}", frame, at) for at, (name, value) in enumerate(centers.items()))
    )
    names = [f"{name} {number(value)}" for name, value in centers.items()]
    key = legend([*names, f"n = {len(shown)}"], ["rule r0", "rule r1", None])
    return figure(title, key, svg(title, frame.axes(x_label), bars, rules))


def _line(series: Series, index: int, frame: Axes) -> Html:
    path = " ".join(f"{frame.at_x(x)},{frame.at_y(y)}" for x, y in series.points)
    line = element("polyline", points=path, class_=f"line s{index % COLORS}")
    if len(series.points) > _MARKED:
        return line
    dots = (
        element(
            "circle",
            element("title", f"{series.name}: {short(y, 4)} at {short(x)}"),
            cx=frame.at_x(x),
            cy=frame.at_y(y),
            r=2.6,
            class_=f"dot s{index % COLORS}",
        )
        for x, y in series.points
    )
    return join(line, *dots)


def _bar(left: float, width: float, count: int, frame: Axes, color: int) -> Html:
    x, y = frame.at_x(left), frame.at_y(count)
    box = {
        "x": x + 0.75,
        "y": y,
        "width": round(frame.at_x(left + width) - x - 1.5, 1),
        "height": round(frame.at_y(0) - y, 1),
    }
    words = f"{short(left)} to {short(left + width)}: {count}"
    return element("rect", element("title", words), class_=f"bar s{color % COLORS}", rx=1.5, **box)


def _mark(mark: Mark, frame: Axes) -> Html:
    x, y = frame.at_x(mark.x), frame.at_y(mark.y)
    late = x > (LEFT + WIDTH) / 2
    where = {"x": x - 9 if late else x + 9, "y": y + 20, "text_anchor": "end" if late else "start"}
    ring = element("circle", element("title", mark.text), cx=x, cy=y, r=6, class_="ring")
    return join(ring, element("text", mark.text, class_="strong", **where))


def _rule(x: float, words: str, frame: Axes, kind: int) -> Html:
    """A vertical line at a value."""
    at = frame.at_x(x)
    return element("line", element("title", words), x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, class_=f"rule r{kind}")
