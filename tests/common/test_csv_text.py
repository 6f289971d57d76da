"""Cells that a spreadsheet would run, and the way back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.csv_text import csv_text, plain_cell

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00\r"), max_size=20),
    st.text(st.sampled_from("'=+-@\t\n1a"), max_size=6),
)


@pytest.mark.parametrize("text", ["=cmd|calc!A1", "+1+2", "-2+3", "@SUM(1)", "\t=1", "\n=1", "-x", "'=1", "- 1"])
def test_formulas_are_text(text: str) -> None:
    cell = next(csv.reader(io.StringIO(csv_text(["a"], [[text]]).partition("\n")[2])))[0]
    assert cell == f"'{text}"
    assert plain_cell(cell) == text


@pytest.mark.parametrize("value", ["-0.5000", "+0.1", "1e-3", -1, 2.5, "-inf", None, "case01", "a=b", "-7"])
def test_numbers_and_names_stay(value: object) -> None:
    assert csv_text(["a", "b"], [[value, "x"]]) == f"a,b\n{'' if value is None else value},x\n"


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), min_size=1, max_size=5))
def test_what_is_read_back_is_what_was_written(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(csv_text(["a", "b"], rows), newline="")))[1:]
    assert [[plain_cell(cell) for cell in row] for row in read] == rows
    assert not [cell for row in read for cell in row if cell[:1] in "=+-@\t" and cell and not _number(cell)]


def test_there_is_one_writer() -> None:
    source = Path(__file__).parents[2] / "src"
    users = [path.name for path in source.rglob("*.py") if "csv.writer" in path.read_text(encoding="utf-8")]
    assert users == ["csv_text.py"]


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
