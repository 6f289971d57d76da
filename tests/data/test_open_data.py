"""From a folder to cases that are ready to train on: inspection, splits, manifests, `check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.core.manifest import Case, Manifest
from delineate.data.doctor.check import check
from delineate.data.loading.open_data import open_data
from delineate.data.splits.seeded import complete

Write = Callable[[Path, Any], Path]
Pairs = Callable[..., Path]
TEN = [f"s{number}" for number in range(10)]


def test_a_folder_becomes_a_split_and_hashed_manifest(make_pairs: Pairs) -> None:
    root = make_pairs(TEN, empty=("s3",))
    seen: list[tuple[int, int]] = []
    manifest, census = open_data(root, progress=lambda done, total: seen.append((done, total)))
    assert Counter(case.split for case in manifest.cases) == {"train": 8, "val": 1, "test": 1}
    assert manifest.split_origin == "seeded: train/val/test 80/10/10 by case, seed 0"
    assert all(
        len(case.hashes) == 2 and len(digest) == 64 for case in manifest.cases for digest in case.hashes.values()
    )
    assert census.empty == {"s3"}
    assert census.sizes == {(16, 16): 10}
    assert (census.bits, census.gray) == (8, False)
    assert census.values == {255: 9 * 24, 0: 10 * 256 - 9 * 24}
    assert seen[-1] == (10, 10)


def test_a_saved_manifest_finds_the_same_data_again(make_pairs: Pairs, tmp_path: Path) -> None:
    root = make_pairs(TEN, value=3)
    manifest, _ = open_data(root, seed=5)
    manifest.save(tmp_path / "manifest.json")
    again, _ = open_data(tmp_path / "manifest.json", seed=6)
    assert again == manifest


def test_a_changed_file_is_named(make_pairs: Pairs, tmp_path: Path, write: Write) -> None:
    root = make_pairs(TEN)
    manifest, _ = open_data(root)
    manifest.save(tmp_path / "manifest.json")
    write(root / "masks" / "s4.png", np.zeros((16, 16), np.uint8))
    with pytest.raises(DataError, match=r"masks/s4\.png is not the file that the manifest was made from"):
        open_data(tmp_path / "manifest.json")
    manifest.model_copy(update={"root": str(tmp_path / "gone")}).save(tmp_path / "manifest.json")
    with pytest.raises(DataError, match="gone, which is not there"):
        open_data(tmp_path / "manifest.json")


def test_broken_manifests(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"root": 3}')
    with pytest.raises(DataError, match=r"m\.json is not a manifest.*give such a file, or the data set's folder"):
        open_data(tmp_path / "m.json")


def test_sizes_that_differ(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(TEN)
    write(root / "masks" / "s2.png", np.zeros((8, 16), np.uint8))
    with pytest.raises(DataError, match=r"s2\.png is 16×8 pixels but its image .*s2\.png is 16×16; export the mask"):
        open_data(root)


def test_an_exif_rotation_explains_swapped_sizes(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(TEN)
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "images" / "s2.png").unlink()
    Image.new("RGB", (16, 8)).save(root / "images" / "s2.jpg", exif=exif)
    write(root / "masks" / "s2.png", np.zeros((8, 16), np.uint8))
    with pytest.raises(DataError, match="EXIF"):
        open_data(root)


def test_all_faults_are_counted(make_pairs: Pairs) -> None:
    root = make_pairs(TEN)
    (root / "images" / "s1.png").write_bytes(b"")
    (root / "masks" / "s5.png").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"s1\.png is empty .*\(and 1 more fault"):
        open_data(root)


def test_a_stray_value_names_its_file(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(TEN)
    odd = np.zeros((16, 16), np.uint8)
    odd[3, 3], odd[5:9, 5:9] = 77, 255
    write(root / "masks" / "s7.png", odd)
    with pytest.raises(DataError, match=r"unexpected mask values: .*77 \(1 px\).*77 is only in masks/s7\.png"):
        open_data(root)


def test_all_empty_masks(make_pairs: Pairs) -> None:
    with pytest.raises(DataError, match="all masks are empty"):
        open_data(make_pairs(TEN, empty=tuple(TEN)))


def test_the_pixel_limit(make_pairs: Pairs) -> None:
    with pytest.raises(DataError, match="above the limit"):
        open_data(make_pairs(TEN), max_pixels=255)


def test_masks_of_one_image_are_merged(tmp_path: Path, write: Write) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png", np.full((4, 4, 3), number, np.uint8))
        for place, name in enumerate(("_mask", "_mask_1")):
            mask = np.zeros((4, 4), np.uint8)
            mask[place] = 255
            write(tmp_path / f"{number}{name}.png", mask)
    manifest, _ = open_data(tmp_path)
    mask = case_mask(manifest, manifest.cases[0])
    assert mask is not None
    assert mask.tolist() == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]
    assert case_image(manifest, manifest.cases[2]).max() == 2


def manifest_of(cases: list[Case], origin: str = "") -> Manifest:
    return Manifest(root="/data", layout="images and masks", split_origin=origin, cases=tuple(cases))


@given(st.integers(3, 120), st.integers(1, 6), st.integers(0, 3), st.integers(0, 1000))
def test_seeded_splits_keep_groups_whole(groups: int, largest: int, empties: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = [
        Case(id=f"{group}-{member}", images=("x",), masks=("y",), group=f"g{group}")
        for group in range(groups)
        for member in range(rng.integers(1, largest + 1))
    ]
    empty = {case.id for case in cases[:empties]}
    found = complete(manifest_of(cases), empty, seed=seed)
    assert found == complete(manifest_of(cases), empty, seed=seed)
    assert [case.id for case in found.cases] == [case.id for case in cases]
    splits_of: dict[str, set[Any]] = {}
    for case in found.cases:
        splits_of.setdefault(str(case.group), set()).add(case.split)
    assert all(len(splits) == 1 for splits in splits_of.values())
    numbers = Counter(next(iter(splits)) for splits in splits_of.values())
    assert numbers["val"] == numbers["test"] == max(1, round(0.1 * groups))
    assert numbers["train"] >= 1


def test_seeds_differ_and_empties_are_spread() -> None:
    cases = [Case(id=f"{number:03}", images=("x",), masks=("y",)) for number in range(200)]
    empty = {case.id for case in cases if int(case.id) % 5 == 0}
    first, second = (complete(manifest_of(cases), empty, seed=seed) for seed in (1, 2))
    assert first.split("val") != second.split("val")
    for manifest in (first, second):
        for name in ("val", "test"):
            assert sum(case.id in empty for case in manifest.split(name)) == 4  # type: ignore[arg-type]


def test_only_val_is_drawn_when_test_is_given() -> None:
    cases = [
        Case(id=str(number), images=("x",), masks=("y",), split="test" if number < 5 else "train")
        for number in range(25)
    ]
    found = complete(manifest_of(cases, "files"))
    assert found.split("test") == tuple(cases[:5])
    assert len(found.split("val")) == 2
    assert found.split_origin == "files; val seeded: 10 % of the training cases by case, seed 0"


def test_given_splits_stay() -> None:
    cases = [
        Case(id="a", images=("x",), masks=("y",), split="train"),
        Case(id="b", images=("x",), masks=("y",), split="val"),
    ]
    assert complete(manifest_of(cases, "folders")) == manifest_of(cases, "folders")


def test_splits_that_cannot_be_made() -> None:
    with pytest.raises(DataError, match=r"too few cases \(2\) to split into train, val, test"):
        complete(manifest_of([Case(id=name, images=("x",), masks=("y",)) for name in "ab"]))
    with pytest.raises(DataError, match=r"too few patients or sequences \(1\)"):
        complete(manifest_of([Case(id=name, images=("x",), masks=("y",), group="g") for name in "abcdef"]))
    with pytest.raises(DataError, match="no training cases, only test"):
        complete(manifest_of([Case(id="a", images=("x",), masks=("y",), split="test")], "files"))


def test_check_reports_everything_at_once(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(TEN)
    (root / "images" / "s0.png").write_bytes((root / "images" / "s9.png").read_bytes())
    (root / "train.txt").write_text("s0\ns1\n")
    (root / "val.txt").write_text("s9\nnobody\n")
    (root / "images" / "s5.png").write_bytes(b"")
    write(root / "images" / "s6.png", np.zeros((16, 16), np.uint16))
    report = check(root)
    assert not report.usable
    texts = " | ".join(f"{finding.severity}: {finding.text}" for finding in report.findings)
    assert "error: " + str(root / "val.txt") + " lists 1 name without" in texts
    assert "s5.png is empty" in texts
    assert "warning: 1 picture is in more than one split, pixel for pixel: s0 (train) = s9 (val)" in texts
    assert "warning: 8-bit (8) and 16-bit (1) images are mixed" in texts
    assert "note: gray and color images are mixed" in texts
    assert dict(report.rows)["sizes"] == "all 16×16"


def test_check_of_sound_data(make_pairs: Pairs) -> None:
    report = check(make_pairs(TEN, value=1, empty=("s1",)))
    assert report.usable
    assert report.findings == []
    rows = dict(report.rows)
    assert rows["layout"] == "images and masks"
    assert rows["read as"] == "label ids 0, 1"
    assert rows["splits"].startswith("8 train, 1 val, 1 test (seeded")
    assert rows["empty masks"].startswith("1 (")


def test_check_warns_of_groups_in_two_splits(make_pairs: Pairs) -> None:
    stems = [f"patient{number}_slice_{part}" for number in range(3) for part in range(2)]
    root = make_pairs(stems)
    (root / "train.txt").write_text("\n".join(stems[:5]))
    (root / "val.txt").write_text(stems[5])
    assert any(
        "patient or sequence is in more than one split: patient2" in finding.text for finding in check(root).findings
    )


def test_check_of_nothing(tmp_path: Path) -> None:
    report = check(tmp_path / "nowhere")
    assert not report.usable
    assert report.rows == []
