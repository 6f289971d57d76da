"""Which training cases keep their masks: shares, counts and lists."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.csv_text import csv_text
from delineate.common.errors import DataError
from delineate.data.cases.census import Census
from delineate.data.cases.facts import Facts, Planes
from delineate.data.core.manifest import Case, LabelRule, Manifest
from delineate.data.splits.label_budget import LabelBudget, drawn_order, list_hash, parse_budget, read_case_list
from delineate.data.splits.label_share import keep_labeled


def manifest(sizes: list[int], *, grouped: bool = True) -> Manifest:
    """Groups of so many training cases, and a validation and a test case."""
    cases = [
        Case(id=f"p{at}s{one}", images=("i",), masks=("m",), split="train", group=f"p{at}" if grouped else None)
        for at, size in enumerate(sizes)
        for one in range(size)
    ]
    cases += [Case(id=name, images=("i",), masks=("m",), split=name) for name in ("val", "test")]
    return Manifest(root="/data", layout="", split_origin="", cases=tuple(cases))


SIZES = st.lists(st.integers(1, 7), min_size=2, max_size=15)


@given(SIZES, st.integers(0, 50), st.data())
def test_a_smaller_part_is_in_a_larger_one(sizes: list[int], draw: int, data: st.DataObject) -> None:
    whole = manifest(sizes)
    most = sum(sizes) - 1
    order = drawn_order({f"p{at}" for at in range(len(sizes))}, draw)
    first = sizes[int(order[0][1:])]
    if first > most:
        return
    counts = sorted(data.draw(st.lists(st.integers(first, most), min_size=2, max_size=4)))
    parts = [LabelBudget(cases=number, draw=draw).chosen(whole) for number in counts]
    for number, part in zip(counts, parts, strict=True):
        assert 0 < len(part) <= number, "never more labels than were asked for"
        groups = {name.split("s")[0] for name in part}
        assert len(part) == sum(sizes[int(group[1:])] for group in groups), "groups are whole"
    for smaller, larger in pairwise(parts):
        assert larger[: len(smaller)] == smaller
    share = LabelBudget(share=0.5, draw=draw).chosen(whole)
    by_number = LabelBudget(groups=len({name.split("s")[0] for name in share}), draw=draw).chosen(whole)
    assert share == by_number


@given(st.integers(3, 40), st.data())
def test_a_number_of_single_cases_is_that_number(cases: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(1, cases - 1))
    whole = manifest([1] * cases, grouped=False)
    assert len(LabelBudget(cases=number).chosen(whole)) == number
    assert len(LabelBudget(groups=number).chosen(whole)) == number


def test_draws_differ() -> None:
    whole = manifest([1] * 30)
    assert len({frozenset(LabelBudget(cases=5, draw=draw).chosen(whole)) for draw in range(5)}) == 5


def test_the_hash_is_of_the_set() -> None:
    assert list_hash(["a", "b"]) == list_hash(["b", "a"]) != list_hash(["a", "c"])


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (
            LabelBudget(cases=11),
            "--labeled-cases 11: /data has 11 training cases with masks; all of them; leave it out",
        ),
        (LabelBudget(cases=99), "has 11 training cases with masks; give fewer"),
        (LabelBudget(groups=4), "--labeled-groups 4: /data has 3 training groups with masks; give fewer"),
        (LabelBudget(cases=0), "--labeled-cases 0: at least 1"),
        (LabelBudget(cases=2, draw=1), "groups are kept whole; raise it"),
        (LabelBudget(share=1.0), "--labeled 1 is not between 0 and 1"),
        (LabelBudget(share=float("nan")), "not between 0 and 1"),
    ],
)
def test_parts_that_are_not_there(budget: LabelBudget, words: str) -> None:
    with pytest.raises(DataError) as caught:
        budget.chosen(manifest([3, 4, 4]))
    assert words in str(caught.value)


def test_lists(tmp_path: Path) -> None:
    whole = manifest([2, 2])
    text, table = tmp_path / "list.txt", tmp_path / "list.csv"
    text.write_text("p0s1\n\np1s0\np0s1\n")
    table.write_text("rank,case,reason\n1,p1s0,doubt\n2,p0s1,far\n")
    assert LabelBudget(listed=text).chosen(whole) == ["p0s1", "p1s0"]
    assert LabelBudget(listed=table).chosen(whole) == ["p1s0", "p0s1"]
    for content, words in {
        "val\n": "'val' is not a training case of /data: it is in the split 'val'",
        "p0s9\n": "it is no case: did you mean 'p0s",
        "\n": "names no case",
    }.items():
        text.write_text(content)
        with pytest.raises(DataError) as caught:
            LabelBudget(listed=text).chosen(whole)
        assert words in str(caught.value)
    table.write_text("name\np0s1\n")
    with pytest.raises(DataError, match="no column 'case'"):
        LabelBudget(listed=table).chosen(whole)


def test_a_name_like_no_other_does_not_list_them_all(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("zzzzzz\n")
    with pytest.raises(DataError, match=r"known: .* and 942 more$") as caught:
        LabelBudget(listed=tmp_path / "list.txt").chosen(manifest([1] * 1000))
    assert len(str(caught.value)) < 1000


def test_what_is_known_of_masks_that_are_taken_away() -> None:
    """Nothing: neither counts of pixels by class nor which slices have some."""
    whole = manifest([1, 1, 1]).model_copy(update={"labels": LabelRule(values={0: 0, 1: 1})})
    slices = Planes(axis=0, height=4, width=4, spacing=None, values=({0: 8, 1: 8},))
    fact = Facts(4, 4, "gray", 8, {0: 12, 1: 4}, "", planes=({0: 12, 1: 4}, {0: 16}), further=(slices,))
    picture = Facts(4, 4, "gray", 8, {0: 12, 1: 4}, "")
    facts = {case.id: picture if case.id == "p1s0" else fact for case in whole.cases}
    census = Census(facts, axis=2)
    kept = keep_labeled(whole, census, LabelBudget(groups=1))
    samples = census.samples(kept.split("train"), kept.labels)
    assert {one.labeled for one in samples} == {True, False}
    assert all(one.has_foreground <= one.labeled for one in samples)
    assert any(one.has_foreground for one in samples)
    assert len(samples) == 7


def test_what_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("a\n")
    assert parse_budget(None, None, None, 3) is None
    assert parse_budget("0.1", None, None, 3) == LabelBudget(share=0.1, draw=3)
    assert parse_budget(None, 40, None, 0) == LabelBudget(cases=40)
    assert parse_budget(tmp_path / "some.txt", None, None, 0) == LabelBudget(listed=tmp_path / "some.txt")
    with pytest.raises(DataError, match="--labeled and --labeled-cases ask for different parts"):
        parse_budget("0.1", 40, None, 0)
    with pytest.raises(DataError, match="neither a share between 0 and 1 nor a file"):
        parse_budget("absent.txt", None, None, 0)


def test_a_list_that_was_written_is_read_back(tmp_path):
    names = ["=1+1", "-a", "plain", "'quoted"]
    (tmp_path / "list.csv").write_text(csv_text(["case", "rank"], [(name, 1) for name in names]))
    assert read_case_list(tmp_path / "list.csv") == names
