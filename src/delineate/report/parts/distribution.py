"""How the scores of single cases are spread: histograms, and curves from worst to best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.charts.plots import Series, histogram, line_chart
from delineate.report.html.elements import Html, element, fold, join
from delineate.report.parts.scores import title_of

__all__ = [
    "class_histograms",
    "distributions",
    "ranked_curves",
    "spread_of",
]

_POINTS = 200
"""A curve of more cases is drawn through so many of them."""

_PER_CHART = 6
"""More curves in one chart hide each other."""


def distributions(scores_file: ScoresFile) -> Html | None:
    """For each metric the cases that count in its quoted column, class by class; one metric of each kind is unfolded."""
    charts = {metric: chart for metric in scores_file.metrics if (chart := _charts(scores_file, metric)) is not None}
    if not charts:
        return None
    first_of_kind = {_kind(scores_file, metric): metric for metric in reversed(charts)}
    hidden = [chart for metric, chart in charts.items() if metric not in first_of_kind.values()]
    rest = fold(f"{len(hidden)} more metrics", _grid(hidden)) if hidden else None
    return join(_grid([chart for metric, chart in charts.items() if metric in first_of_kind.values()]), rest)


def class_histograms(scores_file: ScoresFile, metric: str) -> list[Html]:
    """One histogram per class."""
    columns = scores_file.values(metric).T
    return [
        spread_of(
            of.tolist(), title=f"{title_of(scores_file, metric)} of {name}, per case", kind=_kind(scores_file, metric)
        )
        for name, of in zip(scores_file.classes, columns, strict=True)
    ]


def spread_of(values: Sequence[float], *, title: str, kind: str, color: int = 0) -> Html:
    """A histogram whose axis fits the metric's kind: [0, 1] of overlap, else from the values."""
    shown = [value for value in values if math.isfinite(value)]
    limits = (0.0, 1.0)
    if kind != "overlap" and shown:
        low, high = min(0.0, min(shown)), max(0.0, max(shown))
        limits = (low, high if high > low else low + 1)
    return histogram(shown, title=title, x_label="score of a case", limits=limits, color=color)


def ranked_curves(values: Mapping[str, Sequence[float]], *, title: str, higher: bool, kind: str) -> Html:
    """The sorted scores of several models or classes, worst case first."""
    lines = []
    for name, scores in values.items():
        ordered = sorted((float(score) for score in scores if math.isfinite(score)), reverse=not higher)
        places = sorted({round(at) for at in np.linspace(0, len(ordered) - 1, min(_POINTS, len(ordered)))})
        lines.append(Series(name, [(at + 1, ordered[at]) for at in places]))
    limits = (0.0, 1.0) if kind == "overlap" else None
    return line_chart(lines, title=title, x_label="place among the cases, worst to best", y_limits=limits)


def _charts(scores_file: ScoresFile, metric: str) -> list[Html] | None:
    values = scores_file.values(metric)
    if not np.isfinite(values).any():
        return None
    title, kind = title_of(scores_file, metric), _kind(scores_file, metric)
    by_class = dict(zip(scores_file.classes, values.T.tolist(), strict=True))
    if len(by_class) == 1:
        return class_histograms(scores_file, metric)
    higher = scores_file.metrics[metric]["better"] == "higher"
    names = list(by_class)
    return [
        ranked_curves(
            {name: by_class[name] for name in names[at : at + _PER_CHART]},
            title=f"{title}: cases from worst to best",
            higher=higher,
            kind=kind,
        )
        for at in range(0, len(names), _PER_CHART)
    ]


def _grid(charts: Sequence[Sequence[Html]]) -> Html:
    return element("div", *(chart for each in charts for chart in each), class_="grid")


def _kind(scores_file: ScoresFile, metric: str) -> str:
    return scores_file.metrics[metric]["kind"]
