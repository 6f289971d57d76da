"""From rows to a table: means per class and over the classes, in two columns, each with its n.

`all`: every case; `present`: cases whose reference has the class. One foreground class headlines `all` (whether nothing
was marked where nothing is counts), several headline `present` (else rare classes score 1 for their absence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from delineate.evaluation.cases import Row
from delineate.evaluation.overlap import SCORES

Column = Literal["all", "present"]
COLUMNS: tuple[Column, ...] = ("all", "present")
POLICY = {
    "all": "every case; reference and prediction both empty = 1, a miss or a false positive = 0",
    "present": "cases whose reference has the class; a miss = 0",
    "mean": "over cases, per class; `macro` is the mean of the classes' means, its n the number of (case, class) pairs",
    "ignore": "pixels with reference label 255 are not scored",
}


@dataclass(frozen=True)
class Mean:
    """A mean of `n` values in [0, 1]; None when there are none."""

    mean: float | None
    n: int


Means = dict[str, dict[Column, Mean]]
"""Score name → column → mean."""


@dataclass(frozen=True)
class Outcomes:
    """What happened to one class: numbers of cases, which add up to all cases."""

    found: int
    """Reference and prediction both have the class."""
    missed: int
    false_positive: int
    both_empty: int


@dataclass(frozen=True)
class Summary:
    """The table of one evaluation."""

    cases: int
    classes: dict[str, Means]
    """Foreground class name → its means."""
    macro: Means
    outcomes: dict[str, Outcomes]

    @property
    def headline_column(self) -> Column:
        """The column to quote: `all` with one foreground class, `present` with several."""
        return "all" if len(self.classes) == 1 else "present"

    def headline(self, score: str = "dice") -> float:
        """The mean to quote for a score, over cases and classes; NaN when no case could be scored.

        Raises `KeyError` for a score that is not in the table.
        """
        mean = self.macro[score][self.headline_column].mean
        return float("nan") if mean is None else mean

    def to_json(self) -> dict[str, Any]:
        """As stored in `scores.json`."""
        return {"headline": self.headline_column, **asdict(self)}


def summarise(rows: Sequence[Row]) -> Summary:
    """Means over the rows of any number of cases; all cases must have the same classes."""
    by_class: dict[str, list[Row]] = {}
    for row in rows:
        by_class.setdefault(row.name, []).append(row)
    classes = {name: _means(members) for name, members in by_class.items()}
    return Summary(
        cases=len({row.case for row in rows}),
        classes=classes,
        macro={score: {column: _macro(classes, score, column) for column in COLUMNS} for score in SCORES},
        outcomes={name: _outcomes(members) for name, members in by_class.items()},
    )


def _means(rows: Sequence[Row]) -> Means:
    chosen: dict[Column, list[Row]] = {"all": list(rows), "present": [row for row in rows if row.present]}
    return {
        score: {column: _mean([row.scores[score] for row in chosen[column]]) for column in COLUMNS} for score in SCORES
    }


def _macro(classes: dict[str, Means], score: str, column: Column) -> Mean:
    parts = [means[score][column] for means in classes.values()]
    return Mean(_mean([part.mean for part in parts if part.mean is not None]).mean, sum(part.n for part in parts))


def _mean(values: Sequence[float]) -> Mean:
    return Mean(sum(values) / len(values) if values else None, len(values))


def _outcomes(rows: Sequence[Row]) -> Outcomes:
    kinds = [(row.present, row.found) for row in rows]
    return Outcomes(
        found=kinds.count((True, True)),
        missed=kinds.count((True, False)),
        false_positive=kinds.count((False, True)),
        both_empty=kinds.count((False, False)),
    )
