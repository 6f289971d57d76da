"""Means with their intervals, one below the other on a common scale: a table of which one column is drawn.

The words stay HTML, so that long names wrap, a telephone scrolls, and screen readers hear each number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from delineate.report.charts.axes import short, ticks
from delineate.report.html.elements import Html, captioned, element, join, number

__all__ = ["WIDTH", "Estimate", "forest"]

WIDTH, _HEIGHT, _MARGIN = 340, 26, 14


@dataclass(frozen=True)
class Estimate:
    """One row; without a mean it is listed and not drawn, without an end its interval is not drawn."""

    name: str
    mean: float | None
    low: float | None = None
    high: float | None = None
    cells: Sequence[Any] = ()
    """Further columns of this row."""
    strong: bool = False
    """Drawn as a diamond."""

    @classmethod
    def of(cls, name: str, entry: Mapping[str, Any], *cells: Any, strong: bool = False) -> Estimate:
        """From a stored interval."""
        return cls(name, entry["mean"], entry["low"], entry["high"], cells, strong)


def forest(
    groups: Mapping[str, Sequence[Estimate]],
    *,
    title: str,
    head: Sequence[str] = (),
    first: str = "",
    rule: tuple[float, str] | None = None,
    within: tuple[float, float] | None = None,
    note: str = "",
) -> Html:
    """Rows under the headings of their groups (no heading where it is empty). `head` names the further columns, `first` the first.

    `rule`: a value with a line through all rows, and what it stands for. `within`: ends beyond which nothing is drawn.
    """
    rows = [row for members in groups.values() for row in members]
    scale = _Scale.over(rows, rule, within)
    columns = [first, element("span", title), "mean (95 % interval)", *head]
    cells = (element("th", cell, scope="col", class_="number" if at > 1 else None) for at, cell in enumerate(columns))
    body = []
    for heading, members in groups.items():
        if heading:
            body.append(element("tr", element("th", heading, colspan=len(columns), scope="rowgroup"), class_="group"))
        body += [_row(row, scale, len(head)) for row in members]
    ends = [element("td"), element("td", scale.axis(), class_="drawn"), *(element("td") for _ in columns[2:])]
    legend = f" The line marks {rule[1]}." if rule else ""
    caption = captioned(f"{title}: point and 95 % interval.{legend} No bar: no interval can be given.{note}")
    parts = (("thead", [element("tr", *cells)]), ("tbody", body), ("tfoot", [element("tr", *ends)]))
    content = element("table", caption, *(element(name, *lines) for name, lines in parts))
    return element("div", content, class_="scroll forest")


class _Scale:
    """Values → pixels of the drawn column."""

    def __init__(self, low: float, high: float, rule: float | None) -> None:
        self.low, self.high, self.rule = low, high, rule
        self.ticks = ticks(low, high, 4)

    @classmethod
    def over(
        cls, rows: Sequence[Estimate], rule: tuple[float, str] | None, within: tuple[float, float] | None
    ) -> _Scale:
        values = [value for row in rows for value in (row.mean, row.low, row.high) if _finite(value)]
        values += [rule[0]] if rule else []
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        room = (high - low) * 0.05 or max(abs(low) * 0.05, 0.01)
        low, high = low - room, high + room
        if within:
            low, high = max(low, within[0]), min(high, within[1])
        return cls(low, high if high > low else low + 1, rule[0] if rule else None)

    def at(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    def lines(self) -> Iterator[Html]:
        for value in self.ticks:
            yield element("line", x1=self.at(value), x2=self.at(value), y1=0, y2=_HEIGHT, class_="grid")
        if self.rule is not None:
            yield element("line", x1=self.at(self.rule), x2=self.at(self.rule), y1=0, y2=_HEIGHT, class_="axis")

    def axis(self) -> Html:
        words = (element("text", short(value), x=self.at(value), y=14, text_anchor="middle") for value in self.ticks)
        return _drawing(*words, element("line", x1=_MARGIN, x2=WIDTH - _MARGIN, y1=0.5, y2=0.5, class_="axis"))


def _row(row: Estimate, scale: _Scale, further: int) -> Html:
    if _finite(row.low) and _finite(row.high):
        interval = element("small", f"{number(row.low)} to {number(row.high)}")
    else:
        interval = element("small", "no interval")
    cells = [*row.cells, *([""] * (further - len(row.cells)))]
    return element(
        "tr",
        element("th", row.name, scope="row"),
        element("td", _drawing(*scale.lines(), *_marks(row, scale)), class_="drawn"),
        element("td", join(number(row.mean), interval), class_="number"),
        *(element("td", cell, class_="number") for cell in cells),
    )


def _marks(row: Estimate, scale: _Scale) -> Iterator[Html]:
    if not _finite(row.mean):
        return
    middle, x = _HEIGHT / 2, scale.at(row.mean)
    if _finite(row.low) and _finite(row.high):
        low, high = scale.at(row.low), scale.at(row.high)
        yield element("line", x1=low, x2=high, y1=middle, y2=middle, class_="reach")
        for end in (low, high):
            yield element("line", x1=end, x2=end, y1=middle - 4, y2=middle + 4, class_="reach")
    words = element("title", f"{row.name}: {number(row.mean)}")
    if row.strong:
        shape = f"M{x - 6} {middle}L{x} {middle - 6}L{x + 6} {middle}L{x} {middle + 6}Z"
        yield element("path", words, d=shape, class_="estimate")
    else:
        yield element("circle", words, cx=x, cy=middle, r=4.5, class_="estimate")


def _drawing(*content: Html) -> Html:
    return element(
        "svg",
        *content,
        viewBox=f"0 0 {WIDTH} {_HEIGHT}",
        width=WIDTH,
        height=_HEIGHT,
        class_="chart",
        role="presentation",
    )


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
