"""Which cases belong together (one patient, one sequence): a rule on their names, or a table.

Groups are what splits must not tear apart, and what statistics draw again instead of single cases.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.core.words import normal

__all__ = ["EACH", "compile_rule", "describe_rule", "group_cases", "read_table"]

EACH = "none"
"""The rule by which every case is a group of its own."""


def group_cases(rule: str, cases: Sequence[str]) -> dict[str, str]:
    r"""Case → group, in the order of the cases.

    `rule`: a regular expression that is searched for in the case's name (its group named `group`, else its first group, else
    all that it matches): `patient\d+`, `^(.+)_frame`; or the path of a CSV file with the columns `case` and `group` (it may
    list more cases than these); or `none`. Raises `DataError` when the rule leaves cases without a group.
    """
    if rule == EACH:
        return {case: case for case in cases}
    return _by_table(Path(rule), cases) if rule.lower().endswith(".csv") else _by_name(rule, cases)


def describe_rule(rule: str) -> str:
    """The rule in words, for tables."""
    if rule == EACH:
        return "each case is its own group"
    return f"groups from {Path(rule).name}" if rule.lower().endswith(".csv") else f"groups by the name rule '{rule}'"


def compile_rule(rule: str, what: str) -> re.Pattern[str]:
    """A user's regular expression; `what` names it in the `DataError` for one that is malformed."""
    try:
        return re.compile(rule)
    except re.error as error:
        raise DataError(f"the {what} '{rule}' is no regular expression: {error}") from error


def read_table(path: Path) -> list[dict[str, str]]:
    """A CSV file with a heading → its rows, cells stripped, empty where a row is short.

    Commas, semicolons or tabs between the cells, whichever the heading has most. Raises `DataError`: missing, not UTF-8, no
    rows, a column named twice, a row with more cells than the heading.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot read the table {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"the table {path} is not UTF-8 text; save it as CSV UTF-8") from error
    lines = [line for line in lines if line.strip(" ,;\t")]
    if len(lines) < 2:
        raise DataError(f"the table {path} has no rows; it needs a line of column names and a line for each case")
    separator = max(",;\t", key=lines[0].count)
    heading, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator))
    twice = next((name for name in heading if heading.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"the table {path} has the column '{twice}' twice; rename one")
    for row in rows:
        if len(row) > len(heading):
            raise DataError(f"the row '{row[0]}' of {path} has {len(row)} cells but there are {len(heading)} columns")
    return [dict(zip(heading, row + [""] * (len(heading) - len(row)), strict=True)) for row in rows]


def _by_name(rule: str, cases: Sequence[str]) -> dict[str, str]:
    pattern = compile_rule(rule, "group rule")
    which: str | int = "group" if "group" in pattern.groupindex else min(pattern.groups, 1)
    found = {case: match[which] if (match := pattern.search(case)) else None for case in cases}
    groups = {case: group for case, group in found.items() if group}
    if not groups and cases:
        raise DataError(
            f"the group rule '{rule}' matches none of the {count(len(cases), 'case')}, which are called {some(cases, 2)}; "
            "it is a regular expression, a CSV file (case,group) or 'none'"
        )
    bare = [case for case in cases if case not in groups]
    if bare:
        example = next(iter(groups.items()))
        raise DataError(
            f"the group rule '{rule}' finds no group in {len(bare)} of {len(cases)} cases ({some(bare, 3)}); "
            f"it reads '{example[1]}' in '{example[0]}'"
        )
    return groups


def _by_table(path: Path, cases: Sequence[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    for name, group in _rows(path):
        case = normal(name)
        if table.setdefault(case, group) != group:
            raise DataError(f"{path} puts '{case}' into two groups, '{table[case]}' and '{group}'; keep one")
    bare = [case for case in cases if not table.get(normal(case))]
    if bare:
        hint = f"; it lists {some(list(table), 2)}" if len(bare) == len(cases) else ""
        raise DataError(f"{path} has no group for {len(bare)} of {count(len(cases), 'case')} ({some(bare, 3)}){hint}")
    return {case: table[normal(case)] for case in cases}


def _rows(path: Path) -> list[tuple[str, str]]:
    rows = read_table(path)
    missing = [name for name in ("case", "group") if rows and name not in rows[0]]
    if missing:
        raise DataError(f"{path} has no column '{missing[0]}', only {', '.join(rows[0])}; it needs case,group")
    return [(row["case"], row["group"]) for row in rows]
