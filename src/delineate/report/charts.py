"""Small charts as inline SVG that take their colours from the page, so that they follow its light and dark dress.

Series differ in colour and in dash, so that they can be told apart without colour. Every mark carries its value as a
tooltip (`<title>`), which screen readers read too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from delineate.report.html import Html, element, join

WIDTH, HEIGHT = 540, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 42
COLOURS = 6
"""How many series colours and dashes the style sheet defines; more series use them again."""
MARKED = 60
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
        return _figure(title, None, element("p", "No finite values were logged.", class_="note"))
    top = max(y for _, y in points)
    low, high = y_limits or (min(0.0, *(y for _, y in points)), top if top > 0 else 1.0)
    start, end = min(0.0, *(x for x, _ in points)), max(x for x, _ in points)
    frame = _Frame((start, end if end > start else start + 1), (low, high if high > low else low + 1), integers=True)
    lines = join(*(_line(one, at, frame) for at, one in enumerate(drawn)))
    pointers = join(*(_mark(mark, frame) for mark in marks))
    svg = _svg(title, frame.axes(x_label), lines, pointers)
    return _figure(title, _legend([one.name for one in drawn]) if len(drawn) > 1 else None, svg)


def histogram(
    values: Sequence[float],
    *,
    title: str,
    x_label: str,
    bins: int = 20,
    limits: tuple[float, float] = (0, 1),
    colour: int = 0,
) -> Html:
    """Counts of values in equal bins over `limits` (the last bin includes its upper edge), with mean and median marked."""
    shown = [value for value in values if math.isfinite(value)]
    if not shown:
        return _figure(title, None, element("p", "No values.", class_="note"))
    low, high = limits
    counts = [0] * bins
    for value in shown:
        counts[min(bins - 1, max(0, int((value - low) / (high - low) * bins)))] += 1
    frame = _Frame(limits, (0, max(counts)), integers=False, whole_y=True)
    step = (high - low) / bins
    bars = join(*(_bar(low + at * step, step, count, frame, colour) for at, count in enumerate(counts) if count))
    centres = {"mean": sum(shown) / len(shown), "median": median(shown)}
    rules = join(*(_rule(value, f"{name} {value:.3f}", frame, at) for at, (name, value) in enumerate(centres.items())))
    names = [f"{name} {value:.3f}" for name, value in centres.items()]
    legend = _legend([*names, f"n = {len(shown)}"], ["rule r0", "rule r1", None])
    return _figure(title, legend, _svg(title, frame.axes(x_label), bars, rules))


def ticks(low: float, high: float, wanted: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) within [low, high], about `wanted` of them."""
    raw = (high - low) / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    if whole:
        step = float(max(1, math.ceil(step)))
    first = math.ceil(low / step - 1e-9)
    return [at * step for at in range(first, math.floor(high / step + 1e-9) + 1)]


class _Frame:
    """Maps values to the drawing's coordinates and draws axes."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], *, integers: bool, whole_y: bool = False
    ) -> None:
        self.x, self.y = x, (y[0], y[1] + 0.04 * (y[1] - y[0]))
        self.x_ticks = ticks(*x, 6, whole=integers)
        self.y_ticks = ticks(*y, 4, whole=whole_y)

    def at_x(self, value: float) -> float:
        return round(LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT), 1)

    def at_y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM), 1)

    def axes(self, x_label: str) -> Html:
        base, right, middle = HEIGHT - BOTTOM, WIDTH - RIGHT, (LEFT + WIDTH - RIGHT) / 2
        return join(
            *(self._level(value, right) for value in self.y_ticks),
            *(
                element("text", _short(value), x=self.at_x(value), y=base + 18, text_anchor="middle")
                for value in self.x_ticks
            ),
            element("line", x1=LEFT, x2=right, y1=base, y2=base, class_="axis"),
            element("text", x_label, x=middle, y=HEIGHT - 6, text_anchor="middle"),
        )

    def _level(self, value: float, right: float) -> Html:
        y = self.at_y(value)
        line = element("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid")
        return join(line, element("text", _short(value), x=LEFT - 8, y=y + 4, text_anchor="end"))


def _line(series: Series, index: int, frame: _Frame) -> Html:
    path = " ".join(f"{frame.at_x(x)},{frame.at_y(y)}" for x, y in series.points)
    line = element("polyline", points=path, class_=f"line s{index % COLOURS}")
    if len(series.points) > MARKED:
        return line
    dots = (
        element(
            "circle",
            element("title", f"{series.name}: {_short(y, 4)} at {_short(x)}"),
            cx=frame.at_x(x),
            cy=frame.at_y(y),
            r=2.6,
            class_=f"dot s{index % COLOURS}",
        )
        for x, y in series.points
    )
    return join(line, *dots)


def _bar(left: float, width: float, count: int, frame: _Frame, colour: int) -> Html:
    x, y = frame.at_x(left), frame.at_y(count)
    box = {
        "x": x + 0.75,
        "y": y,
        "width": round(frame.at_x(left + width) - x - 1.5, 1),
        "height": round(frame.at_y(0) - y, 1),
    }
    words = f"{left:.2f} to {left + width:.2f}: {count}"
    return element("rect", element("title", words), class_=f"bar s{colour % COLOURS}", rx=1.5, **box)


def _mark(mark: Mark, frame: _Frame) -> Html:
    x, y = frame.at_x(mark.x), frame.at_y(mark.y)
    late = x > (LEFT + WIDTH) / 2
    where = {"x": x - 9 if late else x + 9, "y": y + 20, "text_anchor": "end" if late else "start"}
    ring = element("circle", element("title", mark.text), cx=x, cy=y, r=6, class_="ring")
    return join(ring, element("text", mark.text, class_="strong", **where))


def _rule(x: float, words: str, frame: _Frame, kind: int) -> Html:
    """A vertical line at a value."""
    at = frame.at_x(x)
    return element("line", element("title", words), x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, class_=f"rule r{kind}")


def _legend(names: Sequence[str], looks: Sequence[str | None] | None = None) -> Html:
    """Names with samples of their lines; `looks` are the lines' classes (None: no sample), by default the series'."""

    def entry(name: str, look: str | None) -> Html:
        line = element("line", x1=1, x2=29, y1=5, y2=5, class_=look)
        sample = element("svg", line, viewBox="0 0 30 10", width=30, height=10, aria_hidden="true")
        return element("li", sample if look else None, name)

    looks = looks or [f"line s{at % COLOURS}" for at in range(len(names))]
    return element("ul", *(entry(name, look) for name, look in zip(names, looks, strict=True)), class_="legend")


def _svg(title: str, *content: Html) -> Html:
    return element("svg", *content, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title, class_="chart")


def _figure(title: str, legend: Html | None, content: Html) -> Html:
    return element("figure", element("figcaption", title), legend, content, class_="card")


def _short(value: float, digits: int = 3) -> str:
    """Few characters, no needless zeros, a real minus sign."""
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")
    return f"{round(value, digits):g}".replace("-", "−") if abs(value) < 1e3 else f"{value:,.0f}".replace(",", " ")
