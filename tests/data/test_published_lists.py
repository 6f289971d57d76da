"""Papers' divisions by patient, applied to folders with their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from delineate.cli import data
from delineate.common.errors import DataError
from delineate.data.core.manifest import Case, Manifest
from delineate.data.loading.open_data import open_data
from delineate.data.splits.published import PUBLISHED, apply_published_list, find_published_list
from delineate.data.splits.resplit import resplit


def manifest(names: list[str]) -> Manifest:
    cases = tuple(Case(id=name, images=("x",), masks=("y",)) for name in names)
    return Manifest(root="/r", layout="images and masks", split_origin="", cases=cases)


@pytest.mark.parametrize(("name", "sizes"), [("synapse-transunet", (18, 0, 12)), ("acdc-mtunet", (70, 10, 20))])
def test_lists_are_whole_and_disjoint(name: str, sizes: tuple[int, int, int]) -> None:
    chosen = find_published_list(name)
    assert tuple(map(len, chosen.splits.values())) == sizes
    assert len(chosen.train | chosen.val | chosen.test) == sum(sizes)
    assert "arXiv" in chosen.source


def test_unknown_lists_name_the_nearest() -> None:
    with pytest.raises(DataError, match="acdc-mtunet"):
        find_published_list("acdc-mtunnet")
    assert set(PUBLISHED) == {"synapse-transunet", "acdc-mtunet"}


@pytest.mark.parametrize(
    "form", ["patient{:03}_frame01_slice_00", "case_{:03}_sliceED_0", "case{:04}_slice000", "img{:04}", "Patient-{}_x"]
)
def test_patients_are_read_from_names(form: str) -> None:
    done, findings = apply_published_list(
        manifest([form.format(number) for number in range(1, 101)]), find_published_list("acdc-mtunet")
    )
    assert [len(done.split(split)) for split in ("train", "val", "test")] == [70, 10, 20]
    assert not findings
    assert len({case.group for case in done.cases}) == 100
    assert [case.id for case in done.split("val")][:2] == [form.format(19), form.format(21)]


def test_who_is_missing_and_who_is_too_many_is_said() -> None:
    names = [f"patient{number:03}_frame01" for number in (*range(4, 103), 150)]
    done, findings = apply_published_list(manifest([*names, "readme"]), find_published_list("acdc-mtunet"))
    texts = [finding.text for finding in findings]
    assert texts == [
        "1 of 70 train patients of acdc-mtunet are missing: 1",
        "2 of 20 test patients of acdc-mtunet are missing: 2, 3",
        "3 patients in no list of acdc-mtunet, 3 cases not used: 101, 102, 150",
        "1 case without a patient in the name, not used: readme",
    ]
    assert [case.id for case in done.cases if case.split is None] == [*names[-3:], "readme"]


@pytest.mark.parametrize(
    ("names", "words"),
    [(["a", "b"], "no name in /r tells of a patient"), (["case0005", "case0006"], "none of the 12 test patients")],
)
def test_other_data_sets_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        apply_published_list(manifest(names), find_published_list("synapse-transunet"))


def test_the_verb_writes_a_manifest(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    root = make_pairs([f"case{number:04}_slice{part:03}" for number in range(1, 41) for part in (0, 1)], size=8)
    out = tmp_path / "lists.json"
    result = CliRunner().invoke(data.app, ["split", str(root), "--list", "synapse-transunet", "--out", str(out)])
    assert result.exit_code == 0, result.output
    done = Manifest.load(out)
    assert {case.group for case in done.split("test")} == {f"case{n:04}" for n in PUBLISHED["synapse-transunet"].test}
    assert [len(done.split(split)) for split in ("train", "val", "test")] == [32, 4, 24]
    assert done.split_origin.startswith("published list synapse-transunet; val seeded")
    assert "10 patients in no list" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--folds", "2", "--list", "acdc-mtunet"], "--folds deals all cases anew"),
        (["--folds", "2", "--labeled", "0.5"], "--folds deals all cases anew"),
        (["--test-fraction", "0.2"], "give --folds with it"),
        (["--list", "acdc-mtunet", "--test-fraction", "0.2"], "give --folds with it"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(data.app, ["split", str(tmp_path), "--out", str(tmp_path / "m.json"), *arguments])
    assert isinstance(result.exception, DataError)
    assert words in str(result.exception)


def test_without_options_the_division_of_the_data_is_written_down(
    make_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    root, out = make_pairs([f"s{number}" for number in range(12)], size=8), tmp_path / "split.json"
    lists = {"train": range(8), "val": range(8, 10), "test": range(10, 12)}
    for name, members in lists.items():
        (root / f"{name}.txt").write_text("".join(f"s{number}\n" for number in members))
    result = CliRunner().invoke(data.app, ["split", str(root), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    frozen = Manifest.load(out)
    assert {name: {case.id for case in frozen.split(name)} for name in lists} == {
        name: {f"s{number}" for number in members} for name, members in lists.items()
    }
    assert all(len(case.hashes) == 2 for case in frozen.cases)
    assert not frozen.folds


def test_without_options_and_lists_it_is_what_train_would_draw(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    root, out = make_pairs([f"s{number}" for number in range(20)], size=8), tmp_path / "split.json"
    CliRunner().invoke(data.app, ["split", str(root), "--out", str(out)], catch_exceptions=False)
    drawn, _ = open_data(root)
    assert {case.id: case.split for case in Manifest.load(out).cases} == {case.id: case.split for case in drawn.cases}


def test_folds_are_not_divided_again(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    root, out = make_pairs([f"s{number}" for number in range(6)], size=8), tmp_path / "folds.json"
    CliRunner().invoke(data.app, ["split", str(root), "--folds", "2", "--out", str(out)], catch_exceptions=False)
    with pytest.raises(DataError, match="has folds"):
        resplit(out, labeled=0.5)
