"""Splits that a set brings in other places than beside its images: read, or told of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding
from delineate.data.layouts.discover import Match, discover, recognize

Pairs = Callable[..., Path]
NAMES = [f"s{number}" for number in range(10)]
SPLITS = {"train": NAMES[:6], "val": NAMES[6:8], "test": NAMES[8:]}


def told(found: Match) -> list[str]:
    """All but that the squares of `make_pairs` are at one place."""
    return [str(finding) for finding in of(found)]


def of(found: Match) -> list[Finding]:
    return [finding for finding in found.findings if "nearly the same" not in finding.text]


def write_lists(folder: Path, end: str = ".txt", heading: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in SPLITS.items():
        (folder / f"{split}{end}").write_text(heading + "\n".join(names))


@pytest.mark.parametrize("folder", ["splits", "ImageSets", "lists"])
def test_lists_in_a_folder_are_the_splits(folder: str, make_pairs: Pairs) -> None:
    root = make_pairs(NAMES)
    write_lists(root / folder)
    found = recognize(root)
    assert (found.split_origin, told(found)) == ("files", [])
    assert {split: [case.id for case in found.cases if case.split == split] for split in SPLITS} == SPLITS


def test_lists_of_other_names_do_not_stop_anything(make_pairs: Pairs) -> None:
    root = make_pairs(NAMES)
    write_lists(root / "splits")
    (root / "splits" / "test.txt").write_text("another\n")
    found = recognize(root)
    assert found.split_origin == ""
    (line,) = told(found)
    assert "splits/test.txt" in line
    assert "not used" in line
    assert "another" in line
    assert [finding.severity for finding in of(found)] == ["warning"]


def test_two_folders_of_lists_are_told(make_pairs: Pairs) -> None:
    root = make_pairs(NAMES)
    write_lists(root / "splits")
    write_lists(root / "lists")
    (line,) = told(recognize(root))
    assert "several folders" in line


@pytest.mark.parametrize(
    ("end", "heading"),
    [(".csv", "filename\n"), ("_list.txt", ""), ("_ids.lst", ""), (".json", ""), ("_files.yaml", "")],
)
def test_lists_in_other_forms_are_told(end: str, heading: str, make_pairs: Pairs) -> None:
    root = make_pairs(NAMES)
    write_lists(root, end, heading)
    (finding,) = of(recognize(root))
    assert finding.severity == "warning"
    assert "3 files beside the images seem to say which case is for what" in finding.text
    assert "train.txt, val.txt and test.txt" in finding.mend


@pytest.mark.parametrize("name", ["split.json", "5_folds.csv", "meta/split_patients.yml"])
def test_one_file_is_told(name: str, make_pairs: Pairs) -> None:
    root = make_pairs(NAMES)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("{}")
    assert any("1 file beside the images seems" in line and name in line for line in told(recognize(root)))


def test_columns_of_a_table_are_told(make_pairs: Pairs) -> None:
    root = make_pairs(NAMES)
    rows = "".join(f"{name},P{at // 3},train\n" for at, name in enumerate(NAMES))
    (root / "metadata.csv").write_text("image_id,patient_id,split\n" + rows)
    split, people = of(recognize(root))
    assert (split.severity, people.severity) == ("warning", "note")
    assert "metadata.csv" in split.text
    assert "column 'patient_id'" in people.text
    assert "--group-by" in people.mend


def test_nothing_is_told_where_the_set_is_divided_or_grouped(make_pairs: Pairs) -> None:
    root = make_pairs([f"patient{p}_{k}" for p in range(4) for k in range(3)])
    (root / "split.json").write_text("{}")
    (root / "people.csv").write_text("file,patient\na,b\n")
    (root / "train.txt").write_text("".join(f"patient{p}_{k}\n" for p in range(4) for k in range(3)))
    assert told(recognize(root)) == []


@pytest.mark.parametrize("name", ["labels.json", "README.txt", "train_masks.csv", "scores.csv", "bboxes.json"])
def test_other_files_are_left_alone(name: str, make_pairs: Pairs) -> None:
    root = make_pairs(NAMES)
    (root / name).write_text("{}")
    assert told(recognize(root)) == []


def test_small_copies_of_storage_systems_are_no_data(make_pairs: Pairs) -> None:
    root = make_pairs(NAMES)
    for folder in ("@eaDir", "#recycle", "$RECYCLE.BIN"):
        for kind in ("images", "masks"):
            place = root / kind / folder / "s1.png"
            place.mkdir(parents=True)
            (place / "SYNOPHOTO_THUMB_XL.jpg").write_bytes((root / "images" / "s1.png").read_bytes())
    found = recognize(root)
    assert (len(found.cases), told(found)) == (10, [])


def north_and_south(root: Path) -> Path:
    for hospital in ("north", "south"):
        for kind in ("images", "masks"):
            (root / f"{hospital}_{kind}").mkdir(parents=True)
            for number in range(3):
                (root / f"{hospital}_{kind}" / f"{number}.png").touch()
    return root


def test_named_masks_are_of_the_images_in_the_folder_called_alike(tmp_path: Path) -> None:
    root = north_and_south(tmp_path / "set")
    for masks in ("north_masks", "south_masks"):
        found = discover(root, masks=masks)
        assert {case.images[0].split("_")[0] for case in found.cases} == {masks.split("_")[0]}
    both = discover(root, "north_images,south_images", "north_masks,south_masks")
    assert all(case.images[0].split("_")[0] == case.masks[0].split("_")[0] for case in both.cases)
    assert len(both.cases) == 6


def test_plain_images_are_not_those_of_the_masks_of_another_folder(tmp_path: Path) -> None:
    root = north_and_south(tmp_path / "set")
    (root / "south_images").rename(root / "images")
    found = discover(root, masks="north_masks")
    assert {case.images[0].split("/")[0] for case in found.cases} == {"north_images"}


def test_folders_without_masks_of_their_own_are_asked_about(tmp_path: Path) -> None:
    root = north_and_south(tmp_path / "set")
    for path in (root / "south_masks").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="north_images and south_images both hold images of the same names"):
        recognize(root)


def test_a_picture_called_0000_keeps_its_name(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(3):
            (tmp_path / kind / f"{number:04d}.png").touch()
    assert [case.id for case in discover(tmp_path).cases] == ["0000", "0001", "0002"]


def test_the_arrays_of_medsam_are_images_and_masks(tmp_path: Path) -> None:
    for number in range(3):
        volume = np.full((4, 8, 8), number, np.uint8)
        np.savez(tmp_path / f"CT_{number}.npz", imgs=volume, gts=volume > 1, spacing=np.ones(3))
    found = recognize(tmp_path)
    assert [case.images for case in found.cases] == [(f"CT_{number}.npz#imgs@volume",) for number in range(3)]
    assert [case.masks for case in found.cases] == [(f"CT_{number}.npz#gts@volume",) for number in range(3)]
