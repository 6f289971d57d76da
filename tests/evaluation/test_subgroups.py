"""Tables of attributes → subgroups of the cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.evaluation.inputs.subgroups import UNKNOWN, Subgroups, _tertiles, read_subgroups

CASES = [f"case{number}" for number in range(9)]


def table(folder: Path, **columns: list[object]) -> Path:
    path = folder / "attributes.csv"
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(",".join(map(str, row)) for row in [tuple(columns), *rows]))
    return path


def attribute(groups: Subgroups, name: str) -> dict[str, tuple[str, ...]]:
    return next(dict(each.levels) for each in groups.attributes if each.name == name)


def test_text_is_taken_as_it_stands(tmp_path: Path):
    path = table(tmp_path, case=CASES, sex=[*"mfmfmfmf", ""], grade=[10, 2, 2, 2, 2, 2, 2, 2, 2])
    groups = read_subgroups(path, CASES)
    assert attribute(groups, "sex") == {
        "f": tuple(CASES[1::2]),
        "m": tuple(CASES[0:8:2]),
        UNKNOWN: ("case8",),
    }
    assert list(attribute(groups, "grade")) == ["2", "10"], "few numbers are grades, in their order"
    assert groups.looks == 5
    assert all(each.cut == "" for each in groups.attributes)


def test_numbers_are_cut_at_tertiles(tmp_path: Path):
    sizes = [1, 2, 3, 40, 50, 60, 700, 800, "NaN"]
    groups = read_subgroups(table(tmp_path, case=CASES, size=sizes), CASES)
    levels = attribute(groups, "size")
    assert [len(members) for members in levels.values()] == [3, 2, 3, 1]
    assert next(iter(levels)) == "≤ 15.33"
    assert levels["≤ 15.33"] == ("case0", "case1", "case2")
    assert "tertiles of these cases (15.33 and" in groups.attributes[0].cut


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=40))
def test_every_number_falls_into_one_tertile(numbers: list[float]):
    cells = {f"case{index}": value for index, value in enumerate(numbers)}
    _, levels = _tertiles(cells)
    assert sorted(case for members in levels.values() for case in members) == sorted(cells)


def test_rows_of_other_cases_are_noted(tmp_path: Path):
    groups = read_subgroups(table(tmp_path, case=CASES, site=list("aabbccddd"), film=["x"] * 9), CASES[:4])
    assert attribute(groups, "site") == {"a": ("case0", "case1"), "b": ("case2", "case3")}
    assert "5 rows of attributes.csv belong to no evaluated case" in groups.notes[0]
    assert "'film' is 'x' for all cases" in groups.notes[1]


def test_the_warning_counts_the_looks(tmp_path: Path):
    groups = read_subgroups(table(tmp_path, case=CASES, site=list("abcdefghh")), CASES)
    assert groups.looks == 8
    assert "8 subgroups of 1 attribute" in groups.warning()
    assert "about 34 %" in groups.warning(), "1 − .95⁸"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"case": CASES[:7], "site": list("aabbccd")}, r"no row for 2 of 9 evaluated cases \(case7, case8\); add them"),
        (
            {"case": list("abc"), "site": list("abc")},
            "lists none of the evaluated cases; it has a, b and 1 more, they are",
        ),
        ({"name": CASES, "site": CASES}, "has no column 'case', only name, site"),
        ({"case": [*CASES, "case0"], "site": list("aabbccddde")}, "two rows of 'case0'"),
        ({"case": CASES, "site": ["a"] * 9}, "no attribute in which the evaluated cases differ"),
        ({"case": CASES}, "no attribute"),
    ],
)
def test_tables_that_do_not_fit_are_one_line(tmp_path: Path, columns: dict[str, list[object]], words: str):
    with pytest.raises(DataError, match=words) as caught:
        read_subgroups(table(tmp_path, **columns), CASES)
    assert "\n" not in str(caught.value)


def test_names_and_dates_are_no_attributes(tmp_path: Path):
    cases = [f"c{number}" for number in range(14)]
    with pytest.raises(DataError, match=r"column 'who' of .* has 14 different texts; remove it, or use at most 12"):
        read_subgroups(table(tmp_path, case=cases, who=[f"Dr {name}" for name in cases]), cases)
    with pytest.raises(DataError, match=r"14 different texts \('12cm' is no number\)"):
        read_subgroups(table(tmp_path, case=cases, size=[*range(13), "12cm"]), cases)
