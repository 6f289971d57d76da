"""Folds and test splits: nothing straddles them, they resemble each other, and what cannot be dealt is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.cases.census import Census, Facts
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data
from delineate.data.splits.folds import SplitResult, deal, split_data
from delineate.data.splits.leakage import Duplicates
from delineate.data.splits.near_duplicates import DuplicatePair

Pairs = Callable[..., Path]
NAMES = ("background", "common", "rare")


def made(contents: Any, groups: Any = None, **splits: Any) -> tuple[Manifest, Census]:
    """A manifest and a census of cases with these class pixels."""
    groups = groups or {}
    cases = tuple(
        Case(id=name, images=("x",), masks=("y",), group=groups.get(name), split=splits.get(name)) for name in contents
    )
    manifest = Manifest(
        root="/data",
        layout="",
        split_origin="",
        classes=ClassTable(names=NAMES),
        labels=LabelRule(values={0: 0, 1: 1, 2: 2}),
        cases=cases,
    )
    facts = {name: Facts(8, 8, "gray", 8, values, name) for name, values in contents.items()}
    return manifest, Census(facts)


def dealt(data: tuple[Manifest, Census], duplicates: Duplicates | None = None, **options: Any) -> SplitResult:
    manifest, census = data
    return deal(
        manifest, census, duplicates or Duplicates(), **{"folds": 3, "test_fraction": None, "seed": 0, **options}
    )


def parts(manifest: Manifest) -> dict[str, Any]:
    return {case.id: "test" if case.split == "test" else case.fold for case in manifest.cases}


@given(st.integers(6, 60), st.integers(1, 6), st.integers(2, 5), st.booleans(), st.integers(0, 999))
def test_no_group_straddles_and_every_case_is_dealt(
    number: int, largest: int, folds: int, test: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    names = [f"{group}-{member}" for group in range(number) for member in range(rng.integers(1, largest + 1))]
    data = made(
        {name: {0: 50, 1: int(rng.integers(1, 14)), 2: 1} for name in names},
        {name: name.partition("-")[0] for name in names},
    )
    found = dealt(data, folds=folds, test_fraction=0.3 if test else None, seed=seed).manifest
    assert found == dealt(data, folds=folds, test_fraction=0.3 if test else None, seed=seed).manifest
    where = parts(found)
    assert set(where.values()) == {*range(folds), *(["test"] if test else [])}
    assert all(len({where[name] for name in names if name.startswith(f"{group}-")}) == 1 for group in range(number))
    sizes = Counter(where.values())
    shares = dict.fromkeys(range(folds), (0.7 if test else 1) / folds) | ({"test": 0.3} if test else {})
    assert all(abs(sizes[part] - share * len(names)) <= 2 * largest for part, share in shares.items())


def test_folds_are_stratified_by_class_and_size() -> None:
    rng = np.random.default_rng(0)
    contents = {f"{at:03}": {0: 60} for at in range(40)}
    contents |= {f"{at:03}": {0: 60, 1: int(rng.integers(1, 400))} for at in range(40, 180)}
    contents |= {f"{at:03}": {0: 60, 1: 9, 2: 3} for at in range(180, 200)}
    found = dealt(made(contents), folds=5, test_fraction=0.2).manifest
    where = parts(found)
    for part, size in [(fold, 32) for fold in range(5)] + [("test", 40)]:
        own = [name for name in contents if where[name] == part]
        large = [name for name in own if contents[name].get(1, 0) > 200]
        share = size / 200
        assert len(own) == pytest.approx(size, abs=1)
        assert sum(2 in contents[name] for name in own) == pytest.approx(20 * share, abs=1)
        assert sum(1 not in contents[name] for name in own) == pytest.approx(40 * share, abs=2)
        total = sum(values.get(1, 0) > 200 for values in contents.values())
        assert len(large) == pytest.approx(total * share, abs=3)


def test_duplicates_stay_together() -> None:
    contents = {f"{at:02}": {0: 9, 1: 1, 2: 1} for at in range(30)}
    groups = {"04": "p", "05": "p"}
    data = made(contents, groups)
    cases = {case.id: case for case in data[0].cases}
    duplicates = Duplicates(
        exact=((cases["01"], cases["02"]),), near=(DuplicatePair("02", "29", 0.9), DuplicatePair("03", "04", 0.95))
    )
    for seed in range(8):
        found = dealt(data, duplicates, seed=seed, folds=5)
        where = parts(found.manifest)
        assert where["01"] == where["02"] == where["29"]
        assert where["03"] == where["04"] == where["05"]
    names = {case.id: case.group for case in found.manifest.cases}
    assert names["01"] == names["29"]
    assert names["03"] == names["05"]
    assert names["10"] is None


def test_the_test_list_that_is_there_stays_and_its_duplicates_go() -> None:
    contents = {f"{at:02}": {0: 9, 1: 1, 2: 1} for at in range(12)}
    splits = {"00": "test", "01": "test", "02": "val", **{f"{at:02}": "train" for at in range(3, 11)}}
    found = dealt(made(contents, **splits), Duplicates(near=(DuplicatePair("00", "05", 0.9),)))
    where = parts(found.manifest)
    assert [name for name in where if where[name] == "test"] == ["00", "01"]
    assert where["05"] is None
    assert where["11"] is None  # in no list, so not used before either
    assert where["02"] in range(3)
    assert found.findings[0].text.startswith("1 case is a duplicate of test cases and left out: 05")
    redrawn = parts(dealt(made(contents, **splits), test_fraction=0.4).manifest)
    assert sum(part == "test" for part in redrawn.values()) in (4, 5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folds": 13}, "13 folds need at least 13 cases, there are 12; give fewer --folds"),
        ({"folds": 12, "test_fraction": 0.1}, "12 folds and a test split need at least 13 cases"),
        ({"folds": 1}, "1 folds are too few"),
        ({"test_fraction": 1.5}, "a test fraction of 1.5 is not between 0 and 1"),
        ({"test_fraction": 0.1}, r"a test fraction of 0.1 leaves the test split \(1 case\) without rare; raise"),
        ({"test_fraction": 0.9}, r"leaves the folds \(\d cases\) without rare; lower --test-fraction"),
    ],
)
def test_what_cannot_be_dealt(options: dict[str, Any], words: str) -> None:
    contents = {f"{at:02}": {0: 9, 1: 1, **({2: 1} if at < 1 else {})} for at in range(12)}
    with pytest.raises(DataError, match=words):
        dealt(made(contents), **options)


def test_a_test_list_that_tears_groups() -> None:
    contents = {f"{at:02}": {0: 9, 1: 1, 2: 1} for at in range(12)}
    splits = {f"{at:02}": "test" if at < 3 else "train" for at in range(12)}
    data = made(contents, {"02": "p", "03": "p"}, **splits)
    with pytest.raises(DataError, match="1 group is in the test split and outside of it"):
        dealt(data)
    assert parts(dealt(data, test_fraction=0.2).manifest)["02"] == parts(dealt(data, test_fraction=0.2).manifest)["03"]


def test_a_fold_without_a_class_is_named() -> None:
    contents = {f"{at:02}": {0: 9, 1: 1, **({2: 1} if at < 1 else {})} for at in range(12)}
    told = [finding.text for finding in dealt(made(contents)).findings]
    assert sum("no training case shows rare" in text for text in told) == 1
    assert sum("no validation case shows rare" in text for text in told) == 2


def test_a_frozen_manifest_opens_fold_by_fold(make_pairs: Pairs, tmp_path: Path) -> None:
    root = make_pairs([f"{name}{part}" for name in "abcdef" for part in range(3)])
    split_data(DataSource(root, group_by="^."), folds=3, test_fraction=0.2).manifest.save(tmp_path / "folds.json")
    seen: list[str] = []
    for fold in range(3):
        manifest, _ = open_data(tmp_path / "folds.json", fold=fold)
        assert {case.fold for case in manifest.split("val")} == {fold}
        assert {case.fold for case in manifest.split("train")} == {0, 1, 2} - {fold}
        assert all(case.hashes for case in manifest.cases)
        assert manifest.sealed().split("test") == ()
        assert {case.split for case in manifest.sealed().cases} == {"train", "val"}
        seen += [case.id for case in manifest.split("val")]
    assert len(seen) == len(set(seen)) == 18 - len(manifest.split("test"))
    with pytest.raises(DataError, match=r"has 3 folds; choose one with --fold 0 … 2"):
        open_data(tmp_path / "folds.json")
    with pytest.raises(DataError, match="there is no fold 3; the manifest has the folds 0 to 2"):
        open_data(tmp_path / "folds.json", fold=3)
    with pytest.raises(DataError, match="have no folds; make them"):
        open_data(root, fold=0)
    (root / "images" / "a0.png").write_bytes((root / "images" / "b0.png").read_bytes())
    with pytest.raises(DataError, match="not the file that the manifest was made from"):
        open_data(tmp_path / "folds.json", fold=0)


def test_old_manifests_have_no_folds() -> None:
    assert Manifest.model_validate_json('{"root": "x", "layout": "", "split_origin": "", "cases": []}').folds == 0
