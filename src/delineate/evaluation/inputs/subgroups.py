"""Subgroups of the cases by the attributes of a table: site, sex, device, lesion size.

    case,site,sex,age
    patient01,Kingston,f,61

A column of numbers is cut at its tertiles, any other is taken as it stands. Scores and intervals of the subgroups are computed
elsewhere; here is said which cases belong to which, and how many looks that makes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.core.grouping import read_table

__all__ = [
    "UNKNOWN",
    "Attribute",
    "Subgroups",
    "read_subgroups",
]

_MAX_LEVELS = 12
"""A column of text with more levels is no attribute but a name, a date or a comment."""
_FEW_NUMBERS = 5
"""A column of at most so many distinct numbers is a code or a grade: it is not cut."""
UNKNOWN = "not stated"
"""The level of cases whose cell is empty (or says NA, NaN)."""

_EMPTY = ("", "na", "n/a", "nan", "none", "null")


@dataclass(frozen=True)
class Attribute:
    """One column of the table: level → its cases, in the order of the cases; no level is empty."""

    name: str
    levels: Mapping[str, tuple[str, ...]]
    cut: str = ""
    """How numbers became levels; empty for a column that was taken as it stands."""


@dataclass(frozen=True)
class Subgroups:
    """The attributes of the evaluated cases."""

    attributes: tuple[Attribute, ...]
    notes: tuple[str, ...] = ()
    """What the reader of the table should know of columns and rows that were not used."""

    @property
    def looks(self) -> int:
        """How many subgroups are looked at."""
        return sum(len(attribute.levels) for attribute in self.attributes)

    def warning(self, level: float = 0.95) -> str:
        """What so many looks mean for intervals of that level."""
        chance = 1 - level**self.looks
        looks = f"{count(self.looks, 'subgroup')} of {count(len(self.attributes), 'attribute')}"
        return (
            f"{looks}: were all of them alike, one or more {100 * level:.0f} % intervals would still miss the true mean with a "
            f"probability of about {100 * chance:.0f} % (looks taken as independent). Differences found here are questions for "
            "new data, not results, unless they were asked before"
        )


def read_subgroups(path: Path, cases: Sequence[str]) -> Subgroups:
    """The attributes of `cases` from a CSV file with a column `case`.

    Rows of other cases are left aside and noted. Raises `DataError`: unreadable, no column `case`, a case twice, evaluated cases
    without a row, text of more than 12 levels, nothing left to look at.
    """
    rows = _by_case(path, read_table(path))
    missing = [case for case in cases if case not in rows]
    if len(missing) == len(cases):
        raise DataError(
            f"{path} lists none of the evaluated cases; it has {some(list(rows), 2)}, they are {some(cases, 2)}"
        )
    if missing:
        raise DataError(
            f"{path} has no row for {len(missing)} of {count(len(cases), 'evaluated case')} ({some(missing)}); "
            "add them, with empty cells where nothing is known"
        )
    strangers = [case for case in rows if case not in set(cases)]
    notes = (
        [f"{count(len(strangers), 'row')} of {path.name} belong to no evaluated case: {some(strangers)}"]
        if strangers
        else []
    )
    attributes = []
    for name in next(iter(rows.values())):
        attribute = _attribute(path, name, {case: rows[case][name] for case in cases})
        if len(attribute.levels) > 1:
            attributes.append(attribute)
        else:
            notes.append(f"'{name}' is '{next(iter(attribute.levels))}' for all cases and not shown")
    if not attributes:
        raise DataError(f"{path} has no attribute in which the evaluated cases differ; it needs columns beside 'case'")
    return Subgroups(tuple(attributes), tuple(notes))


def _by_case(path: Path, rows: Sequence[Mapping[str, str]]) -> dict[str, dict[str, str]]:
    if "case" not in rows[0]:
        raise DataError(f"{path} has no column 'case', only {', '.join(rows[0])}")
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["case"] in table:
            raise DataError(f"{path} has two rows of '{row['case']}'; keep one")
        table[row["case"]] = {name: cell for name, cell in row.items() if name not in ("case", "")}
    return table


def _attribute(path: Path, name: str, cells: Mapping[str, str]) -> Attribute:
    stated = {case: cell for case, cell in cells.items() if cell.lower() not in _EMPTY}
    numbers = {case: value for case, cell in stated.items() if (value := _number(cell)) is not None}
    cut = ""
    levels = _as_stated(stated)
    if len(numbers) == len(stated) and len(set(numbers.values())) > _FEW_NUMBERS:
        cut, levels = _tertiles(numbers)
    elif len(levels) > _MAX_LEVELS:
        odd = next((cell for case, cell in stated.items() if case not in numbers), "")
        hint = f" ('{odd}' is no number)" if numbers else ""
        raise DataError(
            f"the column '{name}' of {path} has {len(levels)} different texts{hint}; remove it, or use at most {_MAX_LEVELS}"
        )
    levels[UNKNOWN] = tuple(case for case in cells if case not in stated)
    return Attribute(name, {level: members for level, members in levels.items() if members}, cut)


def _as_stated(cells: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Levels in their natural order: numbers by size, then text by alphabet."""
    order = sorted(set(cells.values()), key=lambda cell: (_number(cell) is None, _number(cell) or 0.0, cell))
    return {level: tuple(case for case, cell in cells.items() if cell == level) for level in order}


def _tertiles(numbers: Mapping[str, float]) -> tuple[str, dict[str, tuple[str, ...]]]:
    """How the numbers are cut, and the three levels; a value on the limit belongs to the lower level."""
    low, high = (float(limit) for limit in np.percentile(list(numbers.values()), (100 / 3, 200 / 3)))
    bounds = {
        f"≤ {_short(low)}": (-math.inf, low),
        f"{_short(low)} … {_short(high)}": (low, high),
        f"> {_short(high)}": (high, math.inf),
    }
    levels = {
        level: tuple(case for case, value in numbers.items() if below < value <= upto)
        for level, (below, upto) in bounds.items()
    }
    return f"numbers, cut at the tertiles of these cases ({_short(low)} and {_short(high)})", levels


def _short(value: float) -> str:
    """Four digits, and no exponent before a million."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def _number(cell: str) -> float | None:
    """The cell as a finite number, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
