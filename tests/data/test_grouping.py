"""Groups by name and by table."""

from __future__ import annotations

from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.data.core.grouping import describe_rule, group_cases, read_table

NAMES = ["patient01_ED", "patient01_ES", "patient02_ED"]


@pytest.mark.parametrize(
    ("rule", "groups"),
    [
        (r"patient\d+", ["patient01", "patient01", "patient02"]),
        (r"^(.+)_E", ["patient01", "patient01", "patient02"]),
        (r"(?P<x>p)atient(?P<group>\d+)", ["01", "01", "02"]),
        (r"E.$", ["ED", "ES", "ED"]),
        ("none", NAMES),
    ],
)
def test_groups_by_name(rule: str, groups: list[str]):
    assert group_cases(rule, NAMES) == dict(zip(NAMES, groups, strict=True))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (r"subject\d+", r"matches none of the 3 cases, which are called patient01_ED, patient01_ES and 1 more"),
        (r"^(x*)", "matches none"),
        (r"(patient\d+)_ED", r"no group in 1 of 3 cases \(patient01_ES\); it reads 'patient01' in 'patient01_ED'"),
        ("(", "group rule '\\(' is no regular expression"),
        ("none.csv", "cannot read the table none.csv"),
    ],
)
def test_rules_that_do_not_group_are_one_line(rule: str, words: str):
    with pytest.raises(DataError, match=words) as caught:
        group_cases(rule, NAMES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_groups_from_a_table(tmp_path: Path, separator: str):
    table = tmp_path / "groups.csv"
    lines = ["site,case,group", "x,patient02_ED,B", "x,patient01_ED,A", "y, patient01_ES ,A", "z,other,C", ""]
    table.write_text("\n".join(lines).replace(",", separator), encoding="utf-8-sig")
    assert list(group_cases(str(table), NAMES).items()) == list(zip(NAMES, "AAB", strict=True))
    assert describe_rule(str(table)) == "groups from groups.csv"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case,group\npatient01_ED,A", r"has no group for 2 of 3 cases \(patient01_ES, patient02_ED\)$"),
        ("case,group\nx,A", "has no group for 3 of 3 cases .*; it lists x"),
        ("case,patient\nx,A", "has no column 'group', only case, patient"),
        ("case,group\nx,A\nx,B", "puts 'x' into two groups, 'A' and 'B'"),
        ("case,group", "has no rows"),
        ("case,group,group\nx,A,B", "the column 'group' twice"),
        ("case,group\nx,A,B", "the row 'x' of .* has 3 cells but there are 2 columns"),
    ],
)
def test_tables_that_do_not_group_are_one_line(tmp_path: Path, text: str, words: str):
    table = tmp_path / "groups.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=words):
        group_cases(str(table), NAMES)


def test_tables_of_other_encodings(tmp_path: Path):
    (tmp_path / "t.csv").write_bytes("case,group\nä,1".encode("utf-16"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text('case,note\na,"x, y"\nb')
    assert read_table(tmp_path / "t.csv") == [{"case": "a", "note": "x, y"}, {"case": "b", "note": ""}]


def test_tables_in_composed_and_decomposed_letters(tmp_path: Path):
    table = tmp_path / "groups.csv"
    table.write_text("case,group\nMu\u0308ller_1,1\nM\u00fcller_2,2\n")
    assert group_cases(str(table), ["M\u00fcller_1", "Mu\u0308ller_2"]) == {"M\u00fcller_1": "1", "Mu\u0308ller_2": "2"}
