"""YOLO's text files as a data set: names, splits, images without outlines; boxes and what else is no outline are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from annotated_sets import CORNER, SQUARE, mask_of, opened, write_images, write_yolo, yolo_line
from delineate.common.errors import DataError

STEMS = "abcdef"


def made(root: Path, images: str = "images", labels: str = "labels", stems: str = STEMS) -> Path:
    """Images in one folder, a text file of a square for each in the other."""
    write_images(root / images, [f"{stem}.png" for stem in stems])
    for stem in stems:
        write_yolo(root / labels / f"{stem}.txt", [yolo_line(0)])
    return root


def test_outlines_become_masks_with_the_names_of_the_yaml(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "data.yaml").write_text("nc: 2\nnames:\n  0: polyp\n  1: wall\n")
    write_yolo(tmp_path / "labels" / "a.txt", [yolo_line(0), "", yolo_line(1, CORNER)])
    write_yolo(tmp_path / "labels" / "b.txt", [])
    (tmp_path / "labels" / "c.txt").unlink()
    manifest = opened(tmp_path)
    assert manifest.layout == "YOLO outlines"
    assert (manifest.classes.names, manifest.labels.values) == (("background", "polyp", "wall"), {0: 0, 1: 1, 2: 2})
    assert np.bincount(mask_of(manifest, "a").ravel()).tolist()[1:] == [80, 100]
    assert (mask_of(manifest, "d")[5:15, 4:14] == 1).all()
    assert not mask_of(manifest, "b").any()
    assert not mask_of(manifest, "c").any()
    told = " | ".join(manifest.notes)
    assert "5 label files of YOLO: 5 outlines drawn as masks" in told
    assert "nothing is marked on 2 of 6 images" in told
    assert "read as all background: b, c" in told
    assert [case.id for case in opened(tmp_path, unmarked="unlabeled").cases if not case.masks] == ["b", "c"]


BY_SPLIT = (("images/train", "labels/train"), ("images/val", "labels/val"))
ROBOFLOW = (("train/images", "train/labels"), ("valid/images", "valid/labels"))
NUMBERED = (("images/one", "labels/one"), ("images/two", "labels/two"))


@pytest.mark.parametrize(
    ("folders", "described"),
    [
        (BY_SPLIT, "names: [polyp]"),
        (ROBOFLOW, "names: [polyp]"),
        (ROBOFLOW, "train: ../train/images\nval: ../valid/images\nnames: [polyp]"),
        (NUMBERED, "path: x\ntrain: images/one\nval: images/two\nnames: [polyp]"),
        (NUMBERED, "train: [images/one]\nval: [images/two]\nnames: [polyp]"),
    ],
    ids=["Ultralytics", "Roboflow", "Roboflow with paths", "paths alone", "lists of paths"],
)
def test_splits_are_those_of_the_yaml_or_of_the_folders(
    tmp_path: Path, folders: tuple[tuple[str, str], ...], described: str
) -> None:
    for (images, labels), stems in zip(folders, ("abcd", "ef"), strict=True):
        made(tmp_path, images, labels, stems)
    (tmp_path / "data.yaml").write_text(described)
    manifest = opened(tmp_path)
    assert (len(manifest.split("train")), len(manifest.split("val"))) == (4, 2)


def test_a_folder_that_is_named_for_two_splits_divides_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [polyp]")
    manifest = opened(tmp_path)
    assert manifest.split_origin.startswith("seeded")
    assert "data.yaml names one folder for several splits; these are drawn" in manifest.notes
    made(tmp_path, "images/val", "labels/val", "xy")
    (tmp_path / "data.yaml").write_text("train: images\nval: images/val\nnames: [polyp]")
    assert {case.id for case in opened(tmp_path).split("val")} == {"x", "y"}


def test_text_files_beside_their_images_with_a_list_of_names_and_of_cases(tmp_path: Path) -> None:
    made(tmp_path, "obj_train_data", "obj_train_data")
    (tmp_path / "obj.names").write_text("polyp\nwall\n")
    (tmp_path / "train.txt").write_text("".join(f"data/obj_train_data/{stem}.png\n" for stem in "abcd"))
    (tmp_path / "val.txt").write_text("".join(f"data/obj_train_data/{stem}.png\n" for stem in "ef"))
    manifest = opened(tmp_path)
    assert manifest.classes.names == ("background", "polyp", "wall")
    assert (len(manifest.split("train")), len(manifest.split("val")), manifest.split_origin) == (4, 2, "files")


def test_classes_without_names_are_called_by_their_numbers_and_a_folder_without_labels_is_not_used(
    tmp_path: Path,
) -> None:
    made(tmp_path, "images/train", "labels/train")
    write_images(tmp_path / "images" / "test", ["x.png", "y.png"])
    manifest = opened(tmp_path)
    assert manifest.classes.names == ("background", "class 0")
    assert any("images/test: 2 images without label files, not used" in note for note in manifest.notes)
    assert len(manifest.cases) == 6


def test_a_change_of_one_file_changes_the_digest_of_its_mask_alone(tmp_path: Path) -> None:
    made(tmp_path)
    before = {case.id: case.hashes for case in opened(tmp_path).cases}
    write_yolo(tmp_path / "labels" / "c.txt", [yolo_line(0, CORNER)])
    after = {case.id: case.hashes for case in opened(tmp_path).cases}
    assert [name for name in before if before[name] != after[name]] == ["c"]


def test_outlines_of_four_corners_throughout_are_warned_of(tmp_path: Path) -> None:
    made(tmp_path)
    assert any("all 6 outlines have four corners" in note for note in opened(tmp_path).notes)
    write_yolo(tmp_path / "labels" / "c.txt", [yolo_line(0, [*SQUARE, 4, 10])])
    assert not any("four corners" in note for note in opened(tmp_path).notes)


WRONG = {
    "box": ("0 0.5 0.5 0.2 0.2", r"a\.txt, line 2, is a box .* export the set for segmentation"),
    "even": ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.9", r"line 2, has 8 numbers"),
    "few": ("0 0.1 0.1", r"line 2, has 3 numbers"),
    "text": ("polyp 0.1 0.1 0.2 0.2 0.3 0.3", r"line 2: 'polyp .*' holds what is no number"),
    "pixels": ("0 10 10 20 10 20 20", r"line 2, has coordinates from 10 to 20; they are fractions"),
    "not finite": ("0 0.1 0.1 0.2 nan 0.3 0.3", r"line 2, has coordinates"),
    "class": ("1.5 0.1 0.1 0.2 0.2 0.3 0.3", r"line 2, has 7 numbers; an outline is its class"),
    "unknown class": ("3 0.1 0.1 0.2 0.2 0.3 0.3", r"has the class 3, but data\.yaml names only 0 polyp"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_outline_is_refused_by_name(name: str, tmp_path: Path) -> None:
    line, message = WRONG[name]
    made(tmp_path)
    (tmp_path / "data.yaml").write_text("names: [polyp]")
    write_yolo(tmp_path / "labels" / "a.txt", [yolo_line(0), line])
    with pytest.raises(DataError, match=message) as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: polyp", r"data\.yaml: 'names' is no list of names"),
        ("names: [a\n", r"data\.yaml cannot be read"),
        ("names: [polyp]\nkpt_shape: [17, 3]", r"data\.yaml describes keypoints"),
    ],
)
def test_a_yaml_that_cannot_be_understood_is_refused(text: str, message: str, tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)
