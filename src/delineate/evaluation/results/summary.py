"""From rows to a table: means with 95 % intervals per class and over the classes, in named columns, each with its n.

Which columns a metric has follows from its kind, since an empty mask means something else to each:

- overlap: `all` (every case) and `present` (cases whose reference has the class);
- distance: `penalised` (a miss or a false positive costs the image's diagonal) and `found` (cases where both have the class);
- amount: `all`; relative: `present`.

Overlap headlines `present`, since in `all` each case without the class scores 1 where nothing is marked: a network that marks
nothing would score the share of such cases. Where the only class is in all cases both columns are the same, and where it is in none
only `all` is there; both then headline `all`. What is marked in cases without the class is counted beside. Distances headline
`penalised`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from delineate.evaluation.metrics.masks import Outcome
from delineate.evaluation.metrics.metric import POLICY as KINDS
from delineate.evaluation.metrics.metric import Kind, MetricInfo
from delineate.evaluation.metrics.pixel_counts import SCORES, Counts
from delineate.evaluation.results.case_scores import QUICK, Row
from delineate.evaluation.statistics.intervals import Interval, mean_interval

__all__ = [
    "COLUMNS",
    "POLICY",
    "Column",
    "Means",
    "Of",
    "Outcomes",
    "Summary",
    "Values",
    "bounds",
    "column_values",
    "headline_column",
    "micro",
    "summarize",
]

Column = Literal["all", "present", "found", "penalised"]
COLUMNS: Mapping[Kind, tuple[Column, ...]] = {
    "overlap": ("all", "present"),
    "distance": ("penalised", "found"),
    "amount": ("all",),
    "relative": ("present",),
}
"""The first one is quoted; for overlap see the module."""
POLICY = {
    **{f"{kind}, {column}": words for kind, columns in KINDS.items() for column, words in columns.items()},
    "macro": "mean over cases per class, then the mean of the classes' means",
    "micro": "one value from the pixels of all cases together; large structures weigh more",
    "interval": "95 %: BCa cluster bootstrap from 20 groups, bootstrap-t from 6 to 19, none below 6; of overlap it reaches as low "
    "as misses would bring the mean that are too rare to be in the sample; of skewed distances it covers about 90 %, not 95 %",
    "ignore": "pixels with reference label 255 are not scored",
}
Of = Literal["classes", "regions"]
Values = NDArray[np.float64]
Means = dict[str, dict[Column, Interval]]
"""Metric name → column → mean with its interval."""

_COLUMN: Mapping[Column, Callable[[Row, float], float]] = {
    "all": lambda row, value: value,
    "present": lambda row, value: value if row.present else np.nan,
    "found": lambda row, value: value if row.both else np.nan,
    "penalised": lambda row, value: value if row.both else np.nan if row.outcome == "both_empty" else row.diagonal,
}
"""Column → the value of a row that counts in it; NaN: it does not count."""


@dataclass(frozen=True)
class Outcomes:
    """What happened to one class: numbers of cases, which add up to all cases."""

    found: int
    """Reference and prediction both have the class, and share a pixel."""
    not_touched: int
    """Both have it, but nowhere the same pixel."""
    missed: int
    false_positive: int
    both_empty: int

    @property
    def present(self) -> int:
        """Cases whose reference has the class."""
        return self.found + self.not_touched + self.missed


@dataclass(frozen=True)
class Summary:
    """The table of one evaluation."""

    cases: int
    groups: int
    classes: dict[str, Means]
    """Foreground class name → its means."""
    macro: Means
    micro: dict[str, dict[str, float]]
    """Foreground class name → overlap score → its value from the pixels of all cases together."""
    outcomes: dict[str, Outcomes]
    metrics: tuple[MetricInfo, ...] = field(default=QUICK)
    of: Of = "classes"
    """What is scored, and what `classes` and the other tables name."""

    @property
    def headline_column(self) -> Column:
        """The column of overlap scores to quote."""
        return headline_column([seen.present for seen in self.outcomes.values()], self.cases)

    @property
    def with_foreground(self) -> int:
        """Cases whose reference has the class; of several classes, summed over them."""
        return sum(seen.present for seen in self.outcomes.values())

    def column_of(self, score: str) -> Column:
        """The column to quote for a metric. Raises `KeyError` for one that is not in the table."""
        columns = self.macro[score]
        return self.headline_column if self.headline_column in columns else next(iter(columns))

    def headline(self, score: str = "dice") -> float:
        """The mean to quote for a metric, over cases and classes; NaN when no case could be scored.

        Raises `KeyError` for a metric that is not in the table.
        """
        mean = self.macro[score][self.column_of(score)].mean
        return float("nan") if mean is None else mean

    def to_json(self, length: str = "px") -> dict[str, Any]:
        """As stored in `scores.json`; `length` is the unit of lengths."""
        content = {name: value for name, value in asdict(self).items() if name not in ("metrics", "of")}
        content |= {} if self.of == "classes" else {"of": self.of}
        told = {
            metric.name: {
                "title": metric.titled(length),
                "kind": metric.kind,
                "better": metric.better,
                "unit": metric.unit,
            }
            for metric in self.metrics
        }
        return {"headline": self.headline_column, "metrics": told, **content}


def summarize(rows: Sequence[Row], metrics: Sequence[MetricInfo] = QUICK, of: Of = "classes") -> Summary:
    """The table of means over any number of cases.

    Args:
        rows: Scores of all cases (`score_case`), of the same classes in each case.
        metrics: The metrics to tell, each of which every row has.
        of: What rows are of: of classes, or of nested regions.

    Returns:
        Means with intervals for each class and over the classes, in every column.
    """
    by_class: dict[str, list[Row]] = {}
    for row in rows:
        by_class.setdefault(row.name, []).append(row)
    return Summary(
        cases=len({row.case for row in rows}),
        groups=len({row.cluster for row in rows}),
        classes={name: _means(metrics, {name: members}) for name, members in by_class.items()},
        macro=_means(metrics, by_class),
        micro={name: micro(members, metrics) for name, members in by_class.items()},
        outcomes={name: _outcomes(members) for name, members in by_class.items()},
        metrics=tuple(metrics),
        of=of,
    )


def headline_column(present: Sequence[int], cases: int) -> Column:
    """The column of overlap scores to quote (see the module); `present`: of each class, in how many of the cases it is."""
    if len(present) != 1:
        return "present"
    return "present" if 0 < present[0] < cases else "all"


def bounds(kind: str, diagonal: float) -> tuple[float, float]:
    """Where the values of a kind end, and so the intervals of their means; `diagonal`: of the largest image."""
    return {"overlap": (0.0, 1.0), "distance": (0.0, diagonal)}.get(kind, (-np.inf, np.inf))


def column_values(rows: Sequence[Row], metric: str, column: Column) -> Values:
    """The value of each row that counts in a column; NaN where it does not count or is not scored."""
    return np.array([_COLUMN[column](row, row.scores[metric]) for row in rows], np.float64)


def micro(rows: Sequence[Row], metrics: Sequence[MetricInfo]) -> dict[str, float]:
    """Scores of the pixels of all rows together, for those metrics that are functions of counts."""
    totals = Counts(*(np.array([sum(getattr(row, name) for row in rows)]) for name in ("tp", "fp", "fn")))
    return {metric.name: float(SCORES[metric.name](totals)[0]) for metric in metrics if metric.name in SCORES}


def _means(metrics: Sequence[MetricInfo], by_class: Mapping[str, Sequence[Row]]) -> Means:
    """Means over cases, then over the classes given."""
    if not by_class:
        return {metric.name: dict.fromkeys(COLUMNS[metric.kind], _NOTHING) for metric in metrics}
    clusters = [row.cluster for row in next(iter(by_class.values()))]
    groups = None if len(set(clusters)) == len(clusters) else clusters
    return {
        metric.name: {
            column: mean_interval(
                np.stack([column_values(rows, metric.name, column) for rows in by_class.values()], axis=1),
                groups,
                bounds=bounds(metric.kind, max(row.diagonal for rows in by_class.values() for row in rows)),
            )
            for column in COLUMNS[metric.kind]
        }
        for metric in metrics
    }


_NOTHING = Interval(mean=None, low=None, high=None, n=0, groups=0, how="no cases")


def _outcomes(rows: Sequence[Row]) -> Outcomes:
    kinds = Counter(row.outcome for row in rows)
    return Outcomes(**{kind: kinds[kind] for kind in get_args(Outcome)})
