"""Folders in the form of Pascal VOC, CVAT, Roboflow, ADE20K, mmsegmentation and nnU-Net: names, lists, and what 0 may mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data

NAMES = "abcdef"
Write = Callable[[Path, Any], Path]
MASK = np.zeros((12, 16), np.uint8)
MASK[2:6, 2:9], MASK[7:11, 5:15] = 1, 2
COLORS = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (12, 16), np.uint8)


def opened(root: Path, **said: Any) -> Manifest:
    return open_data(DataSource(root, **said))[0]


def voc(root: Path, write: Write, masks: str = NAMES) -> Path:
    """Ten images of which the first six have masks, and lists of these."""
    for number, name in enumerate("abcdefghij"):
        write(root / "JPEGImages" / f"{name}.jpg", noise(number))
    for name in masks:
        write(root / "SegmentationClass" / f"{name}.png", MASK)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\nc\nd\n")
    (lists / "val.txt").write_text("e\nf\n")
    return root


@pytest.mark.parametrize("inside", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_the_lists_of_voc_are_the_splits_and_images_of_other_tasks_are_left_out(
    inside: str, tmp_path: Path, write: Write
) -> None:
    voc(tmp_path / inside, write)
    manifest = opened(tmp_path)
    assert manifest.layout == "Pascal VOC"
    assert (len(manifest.split("train")), len(manifest.split("val")), len(manifest.cases)) == (4, 2, 6)
    assert manifest.split_origin == "files"
    told = " | ".join(manifest.notes)
    assert "4 images in no list of ImageSets/Segmentation and without mask, not used" in told
    assert "folders that are not used" not in told


def test_a_listed_image_of_voc_without_mask_is_an_error(tmp_path: Path, write: Write) -> None:
    voc(tmp_path, write, masks="abcde")
    with pytest.raises(DataError, match=r"1 of 6 images in .* without mask: .*f"):
        opened(tmp_path)


def painted(root: Path, palette: bool) -> None:
    """Masks in the colors of CVAT, in RGB or by palette, with borders that are left out."""
    (root / "SegmentationClass").mkdir(parents=True)
    colors = np.concatenate([COLORS, [[224, 224, 192]]]).astype(np.uint8)
    mask = MASK.copy()
    mask[0, 0] = 3
    for name in NAMES:
        image = Image.fromarray(colors[mask]) if not palette else Image.fromarray(mask).convert("P")
        if palette:
            image = Image.frombytes("P", (16, 12), mask.tobytes())
            image.putpalette(colors.ravel().tolist())
        image.save(root / "SegmentationClass" / f"{name}.png")


@pytest.mark.parametrize("palette", [False, True], ids=["RGB", "palette"])
def test_the_labelmap_of_cvat_names_the_colors(palette: bool, tmp_path: Path, write: Write) -> None:
    for number, name in enumerate(NAMES):
        write(tmp_path / "JPEGImages" / f"{name}.jpg", noise(number))
    painted(tmp_path, palette)
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "wall:250,50,83::", "cavity:51,221,255::"]
    (tmp_path / "labelmap.txt").write_text("\n".join(lines))
    manifest = opened(tmp_path)
    assert manifest.classes.names == ("background", "wall", "cavity")
    assert manifest.labels.coding == "color"
    assert manifest.labels.values is not None
    assert (manifest.labels.values[0xFA3253], manifest.labels.values[0xE0E0C0]) == (1, 255)


def test_the_classes_of_roboflow_and_of_ade_name_the_values(tmp_path: Path, write: Write) -> None:
    for number, name in enumerate(NAMES):
        write(tmp_path / "train" / f"{name}.jpg", noise(number))
        write(tmp_path / "train" / f"{name}_mask.png", MASK)
    (tmp_path / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, wall\n2, cavity\n")
    assert opened(tmp_path).classes.names == ("background", "wall", "cavity")
    (tmp_path / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, background\nx, wall\n")
    assert opened(tmp_path).classes.names == ("background", "label 1", "label 2")
    table = "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t1\t1\t1\twall; side\n2\t0.1\t1\t1\t1\tcavity, hole\n"
    (tmp_path / "objectInfo150.txt").write_text(table)
    assert opened(tmp_path).classes.names == ("background", "wall", "cavity")


@pytest.mark.parametrize(("images", "masks"), [("images", "annotations"), ("img_dir", "ann_dir")])
def test_what_0_means_in_sets_of_many_classes_is_asked(images: str, masks: str, tmp_path: Path, write: Write) -> None:
    for number, name in enumerate(NAMES):
        split = "training" if number < 4 else "validation"
        write(tmp_path / images / split / f"{name}.jpg", noise(number))
        write(tmp_path / masks / split / f"{name}.png", MASK)
    manifest = opened(tmp_path)
    assert (len(manifest.split("train")), len(manifest.split("val"))) == (4, 2)
    assert any("the value 0 is read as background; where it means 'other'" in note for note in manifest.notes)
    said = opened(tmp_path, labels="0=ignore,1=wall,2=cavity")
    assert (said.classes.names, said.labels.values) == (("background", "wall", "cavity"), {0: 255, 1: 1, 2: 2})
    for name in NAMES:
        write(next((tmp_path / masks).rglob(f"{name}.png")), MASK > 0)
    assert not any("the value 0" in note for note in opened(tmp_path).notes)


def test_nnunet_in_pictures_with_regions_and_a_folder_to_test_on(tmp_path: Path, write: Write) -> None:
    for number, name in enumerate(NAMES):
        write(tmp_path / "imagesTr" / f"{name}_0000.png", noise(number))
        write(tmp_path / "labelsTr" / f"{name}.png", MASK)
    write(tmp_path / "imagesTs" / "z_0000.png", noise(9))
    labels = '{"channel_names": {"0": "US"}, "labels": {"background": 0, "heart": [1, 2], "cavity": 2}, "file_ending": ".png"}'
    (tmp_path / "dataset.json").write_text(labels)
    manifest = opened(tmp_path)
    assert manifest.layout == "nnU-Net"
    assert manifest.classes.names == ("background", "label 1", "label 2")
    assert "dataset.json (regions that overlap: by value)" in manifest.labels.reason
    assert "folders that are not used: imagesTs (images without masks; `predict` takes the folder)" in manifest.notes
