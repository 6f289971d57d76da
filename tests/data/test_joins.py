"""Duplicates join groups: what is drawn or dealt divides neither."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.data.cases.census import Census, Facts
from delineate.data.core.joins import described, equal_pictures, is_known, join, members_of
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.loading.open_data import divided
from delineate.data.splits.folds import deal
from delineate.data.splits.leakage import Duplicates
from delineate.data.splits.near_duplicates import DuplicatePair
from delineate.data.splits.seeded import TooFewPictures, complete

sets = st.integers(8, 40).flatmap(
    lambda number: st.tuples(
        st.lists(st.sampled_from([None, "p1", "p2", "patient 3"]), min_size=number, max_size=number),
        st.lists(st.tuples(st.integers(0, number - 1), st.integers(0, number - 1)), max_size=number // 3),
        st.integers(0, 999),
    )
)
Drawn = tuple[list[str | None], list[tuple[int, int]], int]


def cases_of(groups: list[str | None]) -> list[Case]:
    return [Case(id=f"c{at:02}", images=("x",), masks=("m",), group=group) for at, group in enumerate(groups)]


def components(cases: list[Case], pairs: list[tuple[str, str]]) -> set[frozenset[str]]:
    """The sets that groups and pairs join, found by spreading."""
    sets = {case.id: {case.id} for case in cases}
    links = [(one.id, other.id) for one in cases for other in cases if one.group and one.group == other.group]
    for _ in range(len(cases)):
        for one, other in (*links, *pairs):
            both = sets[one] | sets[other]
            for name in both:
                sets[name] = both
    return {frozenset(each) for each in sets.values()}


@settings(deadline=None, max_examples=60)
@given(sets)
def test_joined_groups_are_the_connected_sets(drawn: Drawn) -> None:
    groups, indices, _ = drawn
    cases = cases_of(groups)
    pairs = [(cases[one].id, cases[other].id) for one, other in indices]
    joined = join(cases, pairs)
    found = {frozenset(case.id for case in members) for members in members_of(cases, joined).values()}
    assert found == components(cases, pairs)
    assert joined == join(cases, [*pairs[::-1], ("gone", cases[0].id)])
    named = [case.model_copy(update={"group": joined[case.id]}) for case in cases]
    assert join(named, ()) == joined, "joined groups stay as they are"
    assert (described(named) == "group") == any(groups)
    assert all(is_known(joined[case.id]) for case in cases if case.group)


@settings(deadline=None, max_examples=40)
@given(sets, st.sampled_from([None, 0.25]))
def test_nothing_that_is_joined_is_divided(drawn: Drawn, test_fraction: float | None) -> None:
    groups, indices, seed = drawn
    cases = cases_of(groups)
    first: dict[str, str] = {}
    for one, other in indices:  # equal pictures have equal hashes
        first[cases[other].id] = first.get(cases[one].id, cases[one].id)
    cases = [case.model_copy(update={"pixels": first.get(case.id, case.id)}) for case in cases]
    whole = components(cases, equal_pictures(cases))
    if len(whole) < 4:
        return
    manifest = Manifest(
        root="/data",
        layout="",
        split_origin="",
        classes=ClassTable(),
        labels=LabelRule(values={0: 0, 1: 1}),
        cases=tuple(cases),
    )
    split = complete(manifest, seed=seed)
    assert split == complete(manifest, seed=seed)
    where = {case.id: case.split for case in split.cases}
    assert all(len({where[name] for name in each}) == 1 for each in whole)

    exact = defaultdict(list)
    for case in cases:
        exact[case.pixels].append(case)
    duplicates = Duplicates(tuple(tuple(each) for each in exact.values() if len(each) > 1))
    census = Census({case.id: Facts(8, 8, "gray", 8, {0: 60, 1: 4}, case.pixels or "") for case in cases})
    dealt = [
        deal(manifest, census, duplicates, folds=3, test_fraction=test_fraction, seed=seed).manifest.cases
        for _ in range(2)
    ]
    assert dealt[0] == dealt[1]
    parts = {case.id: (case.split, case.fold) for case in dealt[0]}
    assert all(len({parts[name] for name in each}) == 1 for each in whole)


def test_near_duplicates_join_as_the_option_says() -> None:
    cases = cases_of([None] * 12)
    duplicates = Duplicates(exact=((cases[0], cases[1]),), near=(DuplicatePair("c02", "c03", 0.9),))
    assert duplicates.pairs("near") == [("c00", "c01"), ("c02", "c03")]
    assert duplicates.pairs("exact") == [("c00", "c01")]
    assert duplicates.pairs("none") == []


def test_near_duplicates_are_divided_and_told_of_where_nothing_could_be_trained_otherwise() -> None:
    cases = cases_of([None] * 6)
    manifest = Manifest(root="r", layout="images and masks", split_origin="", cases=tuple(cases))
    alike = Duplicates(near=tuple(DuplicatePair("c00", case.id, 0.9) for case in cases[1:]))
    found, torn = divided(manifest, Census(), alike, "near", 0)
    assert {case.split for case in found.cases} == {"train", "val", "test"}
    assert len(torn) == 1
    assert "near duplicates are divided between the splits" in torn[0]
    assert divided(manifest, Census(), Duplicates(), "near", 0)[1] == []
    equal = Duplicates(exact=(tuple(cases),))
    for join_ in ("near", "exact"):
        with pytest.raises(TooFewPictures, match="--join none"):
            divided(manifest, Census(), equal, join_, 0)
    assert divided(manifest, Census(), equal, "none", 0)[1] == []


@pytest.mark.parametrize(("pairs", "advised"), [("near", True), ("exact", False)])
def test_the_way_out_that_is_named_leads_out(pairs: str, advised: bool) -> None:
    """Equal pictures joined alone are no cure where all pictures are equal."""
    cases = [
        case.model_copy(update={"pixels": f"{at if pairs == 'near' else 0:064x}"})
        for at, case in enumerate(cases_of([None] * 9))
    ]
    manifest = Manifest(root="r", layout="images and masks", split_origin="", cases=tuple(cases))
    with pytest.raises(TooFewPictures) as caught:
        complete(manifest, pairs=[("c00", case.id) for case in cases[1:]])
    assert ("--join exact" in str(caught.value)) is advised
    assert "--join none" in str(caught.value)
