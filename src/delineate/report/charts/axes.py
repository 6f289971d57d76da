"""What charts share: the frame with its axes, legend, caption, and how numbers are shortened."""

from __future__ import annotations

import math
from collections.abc import Sequence

from delineate.report.html.elements import Html, element, join

__all__ = [
    "BOTTOM",
    "COLORS",
    "HEIGHT",
    "LEFT",
    "TOP",
    "WIDTH",
    "Axes",
    "figure",
    "legend",
    "short",
    "svg",
    "ticks",
]

WIDTH, HEIGHT = 540, 270
LEFT, _RIGHT, TOP, BOTTOM = 58, 14, 14, 42
COLORS = 10
"""How many series colors and dashes the style sheet defines; more series use them again."""


class Axes:
    """Maps values to the drawing's coordinates and draws axes."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        integers: bool,
        whole_y: bool = False,
        width: float = WIDTH,
        height: float = HEIGHT,
    ) -> None:
        self.x, self.y = x, (y[0], y[1] + 0.04 * (y[1] - y[0]))
        self.width, self.height = width, height
        self.x_ticks = ticks(*x, 6, whole=integers)
        self.y_ticks = ticks(*y, 4, whole=whole_y)

    def at_x(self, value: float) -> float:
        return round(LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - LEFT - _RIGHT), 1)

    def at_y(self, value: float) -> float:
        return round(
            self.height - BOTTOM - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM), 1
        )

    def axes(self, x_label: str) -> Html:
        base, right, middle = self.height - BOTTOM, self.width - _RIGHT, (LEFT + self.width - _RIGHT) / 2
        return join(
            *(self._level(value, right) for value in self.y_ticks),
            *(
                element("text", self.x_text(value), x=self.at_x(value), y=base + 18, text_anchor="middle")
                for value in self.x_ticks
            ),
            element("line", x1=LEFT, x2=right, y1=base, y2=base, class_="axis"),
            element("text", x_label, x=middle, y=self.height - 6, text_anchor="middle"),
        )

    def x_text(self, value: float) -> str:
        """What stands beneath a tick of the x axis."""
        return short(value)

    def _level(self, value: float, right: float) -> Html:
        y = self.at_y(value)
        line = element("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid")
        return join(line, element("text", short(value), x=LEFT - 8, y=y + 4, text_anchor="end"))


def ticks(low: float, high: float, wanted: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) within [low, high], about `wanted` of them."""
    raw = (high - low) / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    if whole:
        step = float(max(1, math.ceil(step)))
    first = math.ceil(low / step - 1e-9)
    return [at * step for at in range(first, math.floor(high / step + 1e-9) + 1)]


def legend(names: Sequence[str], looks: Sequence[str | None] | None = None) -> Html:
    """Names with samples of their lines; `looks` are the lines' classes (None: no sample), by default the series'."""

    def entry(name: str, look: str | None) -> Html:
        line = element("line", x1=1, x2=29, y1=5, y2=5, class_=look)
        sample = element("svg", line, viewBox="0 0 30 10", width=30, height=10, aria_hidden="true")
        return element("li", sample if look else None, name)

    looks = looks or [f"line s{at % COLORS}" for at in range(len(names))]
    return element("ul", *(entry(name, look) for name, look in zip(names, looks, strict=True)), class_="legend")


def svg(title: str, *content: Html, width: float = WIDTH, height: float = HEIGHT) -> Html:
    """A drawing of that size which grows and shrinks with the page."""
    return element("svg", *content, viewBox=f"0 0 {width} {height}", role="img", aria_label=title, class_="chart")


def figure(title: str, key: Html | None, content: Html) -> Html:
    """A drawing with its title and its legend."""
    return element("figure", element("figcaption", title), key, content, class_="card")


def short(value: float, digits: int = 3) -> str:
    """Few characters, no needless zeros, a real minus sign."""
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")
    return f"{round(value, digits):g}".replace("-", "−") if abs(value) < 1e3 else f"{value:,.0f}".replace(",", " ")
