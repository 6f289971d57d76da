"""The one writer of CSV tables, and what it takes to read one back.

A spreadsheet runs a cell that starts like a formula, and names of files, classes and methods come from others. Such a text gets an
apostrophe in front; `plain_cell` takes it off again, so that reading what was written gives the same text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["csv_text", "plain_cell"]

_FORMULA = re.compile(r"'*[=+\-@\t\n]")


def csv_text(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV; None is an empty cell, numbers stay as they are."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_cell(value) for value in head])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def plain_cell(cell: str) -> str:
    """The text that was written as `cell`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value).replace("\r", " ")  # the writer does not quote it, and no reader takes it then
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    if text != text.strip():
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
