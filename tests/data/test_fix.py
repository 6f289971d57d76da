"""`check --fix`: what the clean copy holds, what its log says, and that the source stays as it was."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.doctor.check import check
from delineate.data.doctor.fix import CHANGES_FILE, write_fixed
from delineate.data.formats.registry import read_image, read_mask
from delineate.data.loading.open_data import open_data

Write = Callable[[Path, Any], Path]
Pairs = Callable[..., Path]
TEN = [f"s{number}" for number in range(10)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def log(folder: Path) -> list[tuple[str, ...]]:
    with (folder / CHANGES_FILE).open(encoding="utf-8", newline="") as stream:
        return [tuple(row) for row in csv.reader(stream)][1:]


def lists(root: Path, **names: list[str]) -> None:
    for name, entries in names.items():
        (root / f"{name}.txt").write_text("".join(f"{entry}\n" for entry in entries))


def test_all_that_is_wrong_goes_and_is_named(make_pairs: Pairs, write: Write, tmp_path: Path) -> None:
    root = make_pairs(TEN)
    (root / "images" / "s0.png").write_bytes((root / "images" / "s9.png").read_bytes())
    (root / "masks" / "s1.png").unlink()
    write(root / "masks" / "lonely.png", np.zeros((16, 16), np.uint8))
    (root / "images" / "s2.png").write_bytes(b"nonsense")
    write(root / "images" / "s3.jpg", np.zeros((16, 16, 3), np.uint8))
    mask = np.zeros((16, 16), np.uint8)
    mask[2:5, 2:9] = 1
    write(root / "masks" / "s4.png", mask)
    lists(root, train=[*TEN[:7], "ghost"], val=["s7", "s8", "s6"], test=["s9"])
    before = contents(root)
    fixed = write_fixed(check(root), tmp_path / "clean")
    assert contents(root) == before
    kept = ["s4", "s5", "s6", "s7", "s8", "s9"]
    assert sorted(path.stem for path in (tmp_path / "clean" / "images").iterdir()) == kept
    assert fixed.cases == len(kept)
    written = log(tmp_path / "clean")
    left_out = {file: reason for file, change, _, reason in written if change == "left out"}
    assert set(left_out) == {
        *(f"images/{name}" for name in ("s0.png", "s1.png", "s2.png", "s3.png", "s3.jpg")),
        *(f"masks/{name}" for name in ("s0.png", "s2.png", "s3.png", "lonely.png")),
    }
    assert "equals s9 (test), pixel for pixel" in left_out["images/s0.png"]
    assert [row[0] for row in written if row[1] == "re-encoded"] == ["masks/s4.png"]
    assert {row[0] for row in written if row[1] == "rewritten"} == {"train.txt"}
    assert (tmp_path / "clean" / "val.txt").read_text().split() == ["s6", "s7", "s8"]
    assert read_mask(tmp_path / "clean" / "masks" / "s4.png").tolist() == (mask * 255).tolist()
    again = check(tmp_path / "clean")
    assert again.usable
    assert again.findings == []


def test_a_sound_set_is_copied_without_changes(make_pairs: Pairs, tmp_path: Path) -> None:
    root = make_pairs(TEN)
    lists(root, train=TEN[:8], val=TEN[8:])
    fixed = write_fixed(check(root), tmp_path / "clean")
    assert fixed.changes == []
    assert {name: content for name, content in contents(tmp_path / "clean").items() if name.startswith("images/")} == {
        name: content for name, content in contents(root).items() if name.startswith("images/")
    }
    assert [case.split for case in open_data(tmp_path / "clean")[0].cases] == ["train"] * 8 + ["val"] * 2


@pytest.mark.parametrize(
    ("splits", "kept"),
    [
        ({"train": ["a", "x"], "val": ["b", "y"], "test": ["c", "z"]}, "c"),
        ({"train": ["a", "x"], "val": ["b", "c", "y"], "test": ["z"]}, "b"),
        ({"train": ["a", "b", "c", "x"], "val": ["y"], "test": ["z"]}, "a"),
    ],
)
def test_of_equal_pictures_training_cases_go_first(
    make_pairs: Pairs, tmp_path: Path, splits: dict[str, list[str]], kept: str
) -> None:
    root = make_pairs(list("abcxyz"))
    for copy in "bc":
        (root / "images" / f"{copy}.png").write_bytes((root / "images" / "a.png").read_bytes())
    lists(root, **splits)
    write_fixed(check(root), tmp_path / "clean")
    assert {path.stem for path in (tmp_path / "clean" / "images").iterdir()} == {kept, *"xyz"}


def test_several_masks_are_merged_and_folders_become_lists(tmp_path: Path, write: Write) -> None:
    for number in range(3):
        write(tmp_path / "set" / f"{number}.png", np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8))
        for place, name in enumerate(("_mask", "_mask_1")):
            mask = np.zeros((8, 8), np.uint8)
            mask[place * 3 : place * 3 + 3] = 255
            write(tmp_path / "set" / f"{number}{name}.png", mask)
    write_fixed(check(tmp_path / "set"), tmp_path / "clean")
    assert {row[1] for row in log(tmp_path / "clean")} == {"merged", "moved"}
    assert read_mask(tmp_path / "clean" / "masks" / "1.png").any(axis=1).tolist() == [True] * 6 + [False] * 2
    for split, number in (("train", 0), ("val", 1), ("test", 2)):
        for kind, name in (("images", f"{number}.png"), ("masks", f"{number}_mask.png")):
            write(tmp_path / "split" / split / kind / f"{number}.png", read_image(tmp_path / "set" / name))
    write_fixed(check(tmp_path / "split"), tmp_path / "listed")
    assert (tmp_path / "listed" / "test.txt").read_text() == "2\n"


def test_class_indices_stay_and_gray_levels_become_indices(make_pairs: Pairs, write: Write, tmp_path: Path) -> None:
    root = make_pairs(TEN)
    mask = np.zeros((16, 16), np.uint8)
    mask[2:5], mask[8:12] = 127, 255
    for stem in TEN:
        write(root / "masks" / f"{stem}.png", mask)
    write_fixed(check(root), tmp_path / "clean")
    assert np.unique(read_mask(tmp_path / "clean" / "masks" / "s1.png")).tolist() == [0, 1, 2]
    assert "values 0, 127, 255 → 0, 1, 2" in log(tmp_path / "clean")[0][3]


def test_targets_that_are_refused(make_pairs: Pairs, tmp_path: Path) -> None:
    root = make_pairs(TEN)
    report = check(root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(DataError, match="full: the folder is not empty"):
        write_fixed(report, tmp_path / "full")
    with pytest.raises(DataError, match=r"lies inside .*set, which is never changed"):
        write_fixed(report, root / "clean")
    with pytest.raises(DataError, match="nothing to write a clean copy from: there is no folder"):
        write_fixed(check(tmp_path / "nowhere"), tmp_path / "clean")
    assert not (tmp_path / "clean").exists()
