"""Layouts that people already have, and the words for those that do not fit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.layouts.discover import discover, recognize


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., Path]:
    """touch(*names): a folder with empty files of these names; layouts never look into them."""

    def make(*names: str) -> Path:
        root = tmp_path / "set"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return root

    return make


Touch = Callable[..., Path]


def fails(root: Path, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        discover(root)
    assert "\n" not in str(caught.value)


def test_images_and_masks_are_matched_by_stem(touch: Touch) -> None:
    manifest = discover(
        touch("images/b.JPG", "images/a.png", "images/c.d.tif", "masks/a.gif", "masks/b.png", "masks/c.d.png")
    )
    assert manifest.layout == "images and masks"
    assert [(case.id, case.images, case.masks) for case in manifest.cases] == [
        ("a", ("images/a.png",), ("masks/a.gif",)),
        ("b", ("images/b.JPG",), ("masks/b.png",)),
        ("c.d", ("images/c.d.tif",), ("masks/c.d.png",)),
    ]
    assert manifest.split_origin == ""
    assert {case.split for case in manifest.cases} == {None}


def test_synonyms_and_mask_endings(touch: Touch) -> None:
    manifest = discover(touch("Imgs/a.png", "Labels/a_segmentation.png"))
    assert manifest.cases[0].masks == ("Labels/a_segmentation.png",)


def test_extra_folders_and_hidden_files_are_left_alone(touch: Touch) -> None:
    root = touch("images/a.png", "images/.a.png", "images/Thumbs.db", "masks/a.png", "masks_2nd_observer/a.png")
    match = recognize(root)
    assert len(match.cases) == 1
    assert [finding.text for finding in match.findings] == [
        "masks_2nd_observer: a second observer's masks of 1 image, kept as a further rater's"
    ]


def test_lists_give_the_splits(touch: Touch) -> None:
    root = touch(*(f"{folder}/{name}.png" for folder in ("images", "masks") for name in "abcde"))
    (root / "train.txt").write_text("\ufeffa\nimages/b.png\n\n# a remark\n", encoding="utf-8")
    (root / "valid.txt").write_text("c.png\r\n")
    (root / "test.txt").write_text("d\n")
    match = recognize(root)
    assert {case.id: case.split for case in match.cases} == {
        "a": "train",
        "b": "train",
        "c": "val",
        "d": "test",
        "e": None,
    }
    assert match.split_origin == "files"
    assert "1 case is in no list and not used: e" in match.findings[0].text


def test_without_a_train_list_the_rest_is_for_training(touch: Touch) -> None:
    root = touch(*(f"{folder}/{name}.png" for folder in ("images", "masks") for name in "abc"))
    (root / "test.txt").write_text("b\n")
    assert {case.id: case.split for case in discover(root).cases} == {"a": "train", "b": "test", "c": "train"}


def test_names_in_lists_as_people_write_them(touch: Touch) -> None:
    names = ("#1", "b c", "d.e", "f")
    root = touch(*(f"{folder}/{name}.png" for folder in ("images", "masks") for name in names))
    lines = "# a remark\n#1\nimages\\b c.png\nC:\\x\\images\\d.e.png masks/d.e.png\n#another\n"
    (root / "train.txt").write_bytes(lines.replace("\n", "\r\n").encode("utf-8-sig"))
    (root / "val.txt").write_text("f,masks/f.png\nf\n")
    splits = {case.id: case.split for case in discover(root).cases}
    assert splits == {"#1": "train", "b c": "train", "d.e": "train", "f": "val"}


def test_a_name_of_several_cases_in_a_list_is_refused(touch: Touch) -> None:
    root = touch(*(f"P{patient}/{folder}/1.png" for patient in (1, 2) for folder in ("images", "masks")))
    (root / "train.txt").write_text("P1/images/1.png\n")
    (root / "val.txt").write_text("P2_1\n")
    assert {case.id: case.split for case in discover(root).cases} == {"P1_1": "train", "P2_1": "val"}
    (root / "val.txt").write_text("1.png\n")
    fails(root, r"val\.txt lists 1 name of several cases: 1\.png \(P1_1 or P2_1\); write the path of the image instead")


def test_lists_beside_split_folders_are_said_to_be_unused(touch: Touch) -> None:
    root = touch(*(f"{split}/{folder}/{split}.png" for split in ("train", "val") for folder in ("images", "masks")))
    (root / "train.txt").write_text("train\n")
    assert any("train.txt not used: the splits are those of the folders" in note for note in discover(root).notes)


def test_faulty_lists(touch: Touch) -> None:
    root = touch(*(f"{folder}/{name}.png" for folder in ("images", "masks") for name in "abc"))
    (root / "train.txt").write_text("a\nzebra\n")
    fails(root, r"train\.txt lists 1 name without image and mask: zebra; correct the list")
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("b\n")
    fails(root, r"1 name is in two lists, train\.txt and val\.txt: b; keep each name in one list")
    (root / "val.txt").write_bytes(b"\xff\xfe\x00")
    fails(root, r"cannot read the list .*val\.txt")


def test_split_folders(touch: Touch) -> None:
    names = [
        f"{split}/{kind}/{name}.png"
        for split, name in (("train", "a"), ("validation", "a"), ("dev", "c"), ("test", "b"))
        for kind in ("images", "masks")
    ]
    manifest = discover(touch(*names))
    assert manifest.layout == "split folders"
    assert manifest.split_origin == "folders"
    assert {case.id: case.split for case in manifest.cases} == {
        "train_a": "train",
        "validation_a": "val",
        "c": "val",
        "b": "test",
    }


def test_isic_folders(touch: Touch) -> None:
    root = touch(
        "ISIC-2017_Training_Data/ISIC_1.jpg",
        "ISIC-2017_Training_Data/ISIC_1_superpixels.png",
        "ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv",
        "ISIC-2017_Training_Part1_GroundTruth/ISIC_1_segmentation.png",
        "ISIC-2017_Test_v2_Data/ISIC_2.jpg",
        "ISIC-2017_Test_v2_Part1_GroundTruth/ISIC_2_segmentation.png",
    )
    manifest = discover(root)
    assert manifest.layout == "ISIC folders"
    assert {case.id: case.split for case in manifest.cases} == {"ISIC_1": "train", "ISIC_2": "test"}


def test_isic_2018_folders(touch: Touch) -> None:
    root = touch("ISIC2018_Task1-2_Training_Input/X.jpg", "ISIC2018_Task1_Training_GroundTruth/X_segmentation.png")
    assert discover(root).cases[0].split == "train"


def test_isic_names_in_one_folder(touch: Touch) -> None:
    manifest = discover(touch("X.jpg", "X_segmentation.png", "X_superpixels.png", "Y.jpg", "Y_segmentation.png"))
    assert manifest.layout == "ISIC names"
    assert [case.id for case in manifest.cases] == ["X", "Y"]


def test_busi_names_in_class_folders(touch: Touch) -> None:
    root = touch(
        "benign/benign (1).png",
        "benign/benign (1)_mask.png",
        "benign/benign (1)_mask_1.png",
        "normal/normal (1).png",
        "normal/normal (1)_mask.png",
    )
    manifest = discover(root)
    assert manifest.layout == "BUSI names"
    assert manifest.cases[0].masks == ("benign/benign (1)_mask.png", "benign/benign (1)_mask_1.png")
    assert [case.id for case in manifest.cases] == ["benign (1)", "normal (1)"]


def test_equal_names_in_class_folders_stay_apart(touch: Touch) -> None:
    manifest = discover(touch("a/1.png", "a/1_mask.png", "b/1.png", "b/1_mask.png"))
    assert [case.id for case in manifest.cases] == ["a_1", "b_1"]


def test_missing_and_strange_folders(touch: Touch, tmp_path: Path) -> None:
    root = touch("images/a.png", "masks/a.png")
    fails(tmp_path / "sat", r"there is no folder .*sat; .* has set")
    fails(root / "images" / "a.png", "is a file")
    (tmp_path / "void").mkdir()
    fails(tmp_path / "void", "no pairs of images and masks in .*void: it is empty")
    assert discover(tmp_path).cases[0].images == ("set/images/a.png",)


def test_a_folder_that_may_not_be_read(touch: Touch, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch("images/a.png", "masks/a.png")

    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    fails(root, r"cannot read .*set: Permission denied; check the folder's permissions")


def test_no_pairs_says_which_names_were_seen(touch: Touch) -> None:
    fails(touch("pictures/a.png", "notes.txt"), r"found notes\.txt, pictures/\. Expected images/ and masks/")
    fails(
        touch("images/a1.png", "masks/b1.png"),
        r"no image and mask .* share a name: images are called a1; masks b1; give each mask the name of its image",
    )


def test_empty_folders(touch: Touch) -> None:
    fails(touch("images/a.svg", "masks/a.png"), r"images holds no images, only a\.svg; PNG, JPEG")


def test_images_without_mask_and_the_reverse(touch: Touch) -> None:
    images, masks = [f"images/{number}.png" for number in range(9)], ["masks/0.png", "masks/x.png"]
    root = touch(*images, *masks)
    fails(root, r"8 of 9 images in .* without mask: 1, 2, 3, 4, 5 and 3 more; add their masks .*\(and 1 more fault")
    texts = [finding.text for finding in recognize(root).findings]
    assert any(re.search(r"1 of 2 masks in .* without image: x", text) for text in texts)


def test_names_that_occur_twice(touch: Touch) -> None:
    fails(
        touch("images/a.png", "images/a.jpg", "masks/a.png"), r"1 name occurs twice .*: images/a\.jpg and images/a\.png"
    )
    fails(touch("images/b.png", "masks/b.png", "masks/b.gif"), r"occurs? twice")


def test_volumes_without_labels_or_of_another_format_are_named(touch: Touch, tmp_path: Path) -> None:
    fails(
        touch("images/a.nii.gz"), r"images holds 1 volume \(a\.nii\.gz\) but no label volumes for them; put them into"
    )
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "1.dcm").touch()
    fails(tmp_path / "dicom", r"dicom holds no image in DICOM: 1 DICOM file .* left out: .*1\.dcm is empty")


def test_tiff_stacks_are_volumes(tmp_path: Path) -> None:
    page = Image.new("L", (4, 4))
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        page.save(tmp_path / folder / "a.tif", save_all=True, append_images=[page])
    match = recognize(tmp_path)
    assert match.layout == "volumes"
    assert [(case.images, case.masks) for case in match.cases] == [(("images/a.tif",), ("masks/a.tif",))]
