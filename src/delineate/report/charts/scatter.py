"""Two models case by case: a point per case, the diagonal where they are equal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from delineate.report.charts.axes import Axes, figure, legend, svg
from delineate.report.html.elements import Html, element, number

__all__ = ["Point", "scatter"]

Point = tuple[float, float, str]
"""Of a case: its two scores and its name."""
_SIDE = 420
_NAMED = 40
"""So many cases, those furthest from the diagonal, tell their names as tooltips."""


def scatter(
    cases: Sequence[str],
    first: Iterable[float],
    second: Iterable[float],
    *,
    names: tuple[str, str],
    title: str,
    limits: tuple[float, float] | None = None,
    lower_is_better: bool = False,
) -> Html:
    """`first` along x, `second` along y; cases without a score of both are left out. `limits` of both axes, default the data's."""
    points = [
        (float(x), float(y), case)
        for case, x, y in zip(cases, first, second, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    heading = f"{title}: {names[1]} against {names[0]}"
    if not points:
        return figure(heading, None, element("p", "No case has a score of both.", class_="note"))
    low, high = limits or _limits(points)
    frame = Axes((low, high), (low, high), integers=False, width=_SIDE, height=_SIDE)
    sides: dict[str, list[Point]] = {"above": [], "below": [], "equal": []}
    for point in points:
        sides[_side(point)].append(point)
    better = ("below", "above") if lower_is_better else ("above", "below")
    words = [
        f"{names[1]} better: {len(sides[better[0]])}",
        f"{names[0]} better: {len(sides[better[1]])}",
        f"equal: {len(sides['equal'])}",
    ]
    ends = {"x1": frame.at_x(low), "y1": frame.at_y(low), "x2": frame.at_x(high), "y2": frame.at_y(high)}
    far = sorted(points, key=lambda point: -abs(point[1] - point[0]))[:_NAMED]
    drawing = svg(
        heading,
        frame.axes(names[0]),
        element("text", names[1], x=0, y=11, class_="side"),
        element("line", class_="rule", **ends),
        *(_cloud(members, frame, side) for side, members in sides.items() if members),
        *(_named(point, frame, names) for point in far),
        width=_SIDE,
        height=_SIDE,
    )
    return figure(heading, legend(words, [None, None, None]), drawing)


def _side(point: Point) -> str:
    """Of the diagonal; values that differ by rounding alone are equal."""
    if math.isclose(point[0], point[1], rel_tol=1e-11, abs_tol=1e-11):
        return "equal"
    return "above" if point[1] > point[0] else "below"


def _cloud(points: Sequence[Point], frame: Axes, side: str) -> Html:
    """All points of one side of the diagonal as one path of round dots."""
    path = "".join(f"M{frame.at_x(x)} {frame.at_y(y)}h0" for x, y, _ in points)
    return element("path", d=path, class_=f"cloud {side}")


def _named(point: Point, frame: Axes, names: tuple[str, str]) -> Html:
    x, y, case = point
    words = f"{case}: {names[0]} {number(x)}, {names[1]} {number(y)}"
    return element("circle", element("title", words), cx=frame.at_x(x), cy=frame.at_y(y), r=5, class_="touch")


def _limits(points: Sequence[Point]) -> tuple[float, float]:
    values = [value for x, y, _ in points for value in (x, y)]
    low, high = min(0.0, *values), max(values)
    return low, high if high > low else low + 1
