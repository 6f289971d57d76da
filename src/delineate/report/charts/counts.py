"""Scores against numbers: lines with 95 % intervals over a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from delineate.report.charts.axes import BOTTOM, COLORS, HEIGHT, TOP, Axes, figure, legend, short, svg
from delineate.report.html.elements import Html, element, join

__all__ = ["CountPoint", "CountSeries", "count_chart"]

_APART = 5.0
"""Pixels between the points of two lines over the same number, so that their intervals are told apart."""


@dataclass(frozen=True)
class CountPoint:
    """A score at a number, with the ends of its interval where there is one."""

    count: float
    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class CountSeries:
    """A named line."""

    name: str
    points: Sequence[CountPoint]


class _LogAxes(Axes):
    """The x axis has the logarithms of counts, and its ticks are the counts themselves."""

    def __init__(self, counts: Sequence[float], y: tuple[float, float]) -> None:
        logs = sorted({math.log(one) for one in counts})
        room = 0.06 * max(logs[-1] - logs[0], 0.5)
        super().__init__((logs[0] - room, logs[-1] + room), y, integers=False)
        self.x_ticks = logs

    def x_text(self, value: float) -> str:
        return short(math.exp(value), 1)


def count_chart(
    series: Sequence[CountSeries], *, title: str, x_label: str, rule: tuple[float, str] | None = None
) -> Html:
    """A `<figure>`; `rule`: a horizontal line at a score, with its name."""
    points = [point for one in series for point in one.points]
    if not points:
        return figure(title, None, element("p", "No scores.", class_="note"))
    values = [value for point in points for value in (point.mean, point.low, point.high) if value is not None]
    values += [rule[0]] if rule else []
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.01
    frame = _LogAxes([point.count for point in points], (low - room, high + room))
    drawn = [_line(one, at, len(series), frame) for at, one in enumerate(series)]
    line = None
    if rule:
        y = frame.at_y(rule[0])
        ends = (frame.at_x(frame.x[0]), frame.at_x(frame.x[1]))
        line = element("line", element("title", rule[1]), x1=ends[0], x2=ends[1], y1=y, y2=y, class_="rule r0")
    names = [one.name for one in series] + ([rule[1]] if rule else [])
    looks: list[str | None] = [f"line s{at % COLORS}" for at in range(len(series))]
    looks += ["rule r0"] if rule else []
    return figure(title, legend(names, looks), svg(title, frame.axes(x_label), line or Html(""), *drawn))


def _line(one: CountSeries, index: int, of: int, frame: _LogAxes) -> Html:
    aside = _APART * (index - (of - 1) / 2)
    look = f"s{index % COLORS}"
    parts = []
    places = [(round(frame.at_x(math.log(point.count)) + aside, 1), frame.at_y(point.mean)) for point in one.points]
    parts.append(element("polyline", points=" ".join(f"{x},{y}" for x, y in places), class_=f"line {look}"))
    for point, (x, y) in zip(one.points, places, strict=True):
        words = f"{one.name}, {short(point.count, 1)}: {short(point.mean, 4)}"
        if point.low is not None and point.high is not None:
            words += f" ({short(point.low, 4)} to {short(point.high, 4)})"
            bottom, top = (min(max(frame.at_y(end), TOP), HEIGHT - BOTTOM) for end in (point.low, point.high))
            parts.append(element("line", x1=x, x2=x, y1=bottom, y2=top, class_=f"reach {look}"))
            parts += [
                element("line", x1=x - 3, x2=x + 3, y1=end, y2=end, class_=f"reach {look}") for end in (bottom, top)
            ]
        parts.append(element("circle", element("title", words), cx=x, cy=y, r=3.4, class_=f"dot {look}"))
    return join(*parts)
