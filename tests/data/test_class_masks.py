"""Folders of masks of one class each: `--masks wall=masks/wall,cavity=masks/cavity` makes them the classes of one mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_mask
from delineate.data.core.manifest import Manifest
from delineate.data.formats.class_files import ClassFiles
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data

NAMES = "abcdef"
Write = Callable[[Path, Any], Path]


def square(top: int, left: int, value: int = 255) -> np.ndarray:
    mask = np.zeros((12, 16), np.uint8)
    mask[top : top + 6, left : left + 6] = value
    return mask


def opened(root: Path, masks: str, **said: Any) -> Manifest:
    return open_data(DataSource(root, masks=masks, **said))[0]


def mask_of(manifest: Manifest, name: str) -> np.ndarray:
    mask = case_mask(manifest, next(case for case in manifest.cases if case.id == name))
    assert mask is not None
    return mask


@pytest.fixture
def root(tmp_path: Path, write: Write) -> Path:
    """Six images, with a mask in masks/wall and one in masks/cavity for each."""
    for number, name in enumerate(NAMES):
        noise = np.random.default_rng(number).integers(0, 255, (12, 16), np.uint8)
        write(tmp_path / "images" / f"{name}.png", noise)
        write(tmp_path / "masks" / "wall" / f"{name}.png", square(0, 0))
        write(tmp_path / "masks" / "cavity" / f"{name}.png", square(6, 8))
    return tmp_path


BOTH = "wall=masks/wall,cavity=masks/cavity"


def test_each_folder_is_a_class_in_the_order_in_which_they_are_named(root: Path, write: Write) -> None:
    write(root / "masks" / "cavity" / "a.png", square(6, 8, 1))  # 0/1 beside 0/255: all that is not 0 is meant
    manifest = opened(root, BOTH)
    assert manifest.layout == "a folder of masks for each class"
    assert (manifest.classes.names, manifest.labels.values) == (("background", "wall", "cavity"), {0: 0, 1: 1, 2: 2})
    assert (mask_of(manifest, "a") == square(0, 0, 1) + square(6, 8, 2)).all()
    assert manifest.cases[0].masks == ("masks#classes:wall%2Fa.png=1,cavity%2Fa.png=2",)
    assert opened(root, "cavity=masks/cavity,wall=masks/wall").classes.names == ("background", "cavity", "wall")
    assert not any("merged" in note or "not used" in note for note in manifest.notes)


def test_without_names_the_user_is_told_how_to_make_them_classes(root: Path) -> None:
    with pytest.raises(DataError, match=r"--masks cavity=masks/cavity,wall=masks/wall makes them classes"):
        open_data(root)
    assert opened(root, "masks/wall,masks/cavity").classes.names == ("background", "foreground")


def test_names_may_end_with_the_class_and_lie_beside_the_images(tmp_path: Path, write: Write) -> None:
    for number, name in enumerate(NAMES):
        write(tmp_path / f"{name}.png", np.random.default_rng(number).integers(0, 255, (12, 16), np.uint8))
        write(tmp_path / f"{name}_wall.png", square(0, 0))
        write(tmp_path / f"{name}_cavity.png", square(6, 8))
    manifest = opened(tmp_path, "wall=*_wall.png,cavity=*_cavity.png")
    assert [case.id for case in manifest.cases] == list(NAMES)
    assert np.bincount(mask_of(manifest, "c").ravel()).tolist()[1:] == [36, 36]


def test_masks_of_the_same_names_in_a_folder_of_each_case_are_no_objects(tmp_path: Path, write: Write) -> None:
    for number, name in enumerate(NAMES):
        case = tmp_path / f"case_{name}"
        write(case / "image.png", np.random.default_rng(number).integers(0, 255, (12, 16), np.uint8))
        write(case / "masks" / "wall.png", square(0, 0))
        write(case / "masks" / "cavity.png", square(6, 8))
    with pytest.raises(
        DataError,
        match=r"of each case: cavity\.png, wall\.png; say what they are: --masks cavity=cavity\.png,wall=wall\.png",
    ):
        open_data(tmp_path)
    both = opened(tmp_path, "wall=wall.png,cavity=cavity.png")
    assert np.bincount(mask_of(both, "case_c").ravel()).tolist()[1:] == [36, 36]
    assert opened(tmp_path, "cavity.png,wall.png").classes.names == ("background", "foreground")


def test_folders_that_are_called_by_their_classes_are_asked_about(tmp_path: Path, write: Write) -> None:
    for number, name in enumerate(NAMES):
        write(tmp_path / "images" / f"{name}.png", np.random.default_rng(number).integers(0, 255, (12, 16), np.uint8))
        write(tmp_path / "masks_wall" / f"{name}.png", square(0, 0))
        write(tmp_path / "masks_cavity" / f"{name}.png", square(6, 8))
    with pytest.raises(
        DataError, match=r"if they are classes, --masks cavity=masks_cavity,wall=masks_wall; else say which"
    ):
        open_data(tmp_path)
    assert opened(tmp_path, "cavity=masks_cavity,wall=masks_wall").classes.names == ("background", "cavity", "wall")


def test_folders_that_no_word_tells_of_are_pointed_out(root: Path) -> None:
    for name in ("wall", "cavity"):
        (root / "masks" / name).rename(root / name)
    (root / "masks").rmdir()
    with pytest.raises(
        DataError, match=r"same names as images; if they are masks, give --masks cavity=cavity,wall=wall"
    ):
        open_data(root)
    assert opened(root, "cavity=cavity,wall=wall").classes.names == ("background", "cavity", "wall")


def test_a_class_that_an_image_has_no_mask_of_is_not_in_it_and_overlaps_are_told(root: Path, write: Write) -> None:
    (root / "masks" / "wall" / "a.png").unlink()
    write(root / "masks" / "cavity" / "b.png", square(3, 3))
    manifest = opened(root, BOTH)
    assert np.unique(mask_of(manifest, "a")).tolist() == [0, 2]
    assert mask_of(manifest, "b")[4, 4] == 2
    told = " | ".join(manifest.notes)
    assert "1 image has no mask of wall, read as without it: a" in told
    assert "masks of different classes overlap in 1 image of 5 looked at (b): the class named later is on top" in told


def test_the_digest_changes_with_any_of_the_files(root: Path, write: Write) -> None:
    before = {case.id: case.hashes for case in opened(root, BOTH).cases}
    write(root / "masks" / "cavity" / "c.png", square(5, 8))
    after = {case.id: case.hashes for case in opened(root, BOTH).cases}
    assert [name for name in before if before[name] != after[name]] == ["c"]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ("wall=masks/wall,masks/cavity", r"'masks/cavity' has no name of a class or no folder"),
        ("wall=,cavity=masks/cavity", r"'wall' has no name of a class or no folder"),
        ("wall=masks/wal,cavity=masks/cavity", r"there is no folder 'masks/wal'"),
        ("wall=masks/wall,Wall=masks/cavity", r"differ only in upper and lower case"),
    ],
)
def test_names_that_do_not_fit_are_refused(masks: str, message: str, root: Path) -> None:
    with pytest.raises(DataError, match=message):
        opened(root, masks)


def test_a_file_of_several_values_and_one_of_another_size_are_refused(root: Path, write: Write) -> None:
    write(root / "masks" / "wall" / "a.png", square(0, 0, 1) + square(6, 8, 2))
    with pytest.raises(DataError, match=r"wall/a\.png has the values 0, 1, 2; a mask of one class is black and white"):
        opened(root, BOTH)
    write(root / "masks" / "wall" / "a.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(
        DataError, match=r"wall/a\.png is 9×9 pixels but .*cavity/a\.png, another class of the same image"
    ):
        opened(root, BOTH)


def test_an_address_that_leads_out_of_the_folder_is_refused() -> None:
    address = ClassFiles(Path("masks"), (("über/a b.png", 1), ("c.png", 12)))
    assert ClassFiles.parse(str(address)) == address
    assert ClassFiles.parse("masks/a.png") is None
    for wrong in ("masks#classes:..%2Fa.png=1", "masks#classes:%2Fetc%2Fa.png=1", "masks#classes:a.png=x"):
        with pytest.raises(DataError, match="cannot be used"):
            ClassFiles.parse(wrong)


def write_volume(path: Path, voxels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


def write_volume_classes(root: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(NAMES[:3]):
        voxels = np.random.default_rng(number).normal(size=(8, 8, 4)).astype(np.float32)
        write_volume(root / f"s{name}" / "ct.nii.gz", voxels)
        for at, part in enumerate(names):
            mask = np.zeros((8, 8, 4), np.uint8)
            mask[2 * at : 2 * at + 2] = 1
            write_volume(root / f"s{name}" / "segmentations" / f"{part}.nii.gz", mask)


def test_volumes_of_one_class_each_are_classes_and_merged_where_that_is_said(tmp_path: Path) -> None:
    write_volume_classes(tmp_path, ["liver", "spleen"])
    assert open_data(tmp_path)[0].classes.names == ("background", "liver", "spleen")
    assert opened(tmp_path, "organ=spleen.nii.gz").classes.names == ("background", "organ")
    merged = opened(tmp_path, "liver.nii.gz,spleen.nii.gz")
    assert merged.classes.names == ("background", "foreground")
    assert any("sa/ct, sb/ct, sc/ct" in note for note in merged.notes)
    assert all("spleen" not in mask for case in opened(tmp_path, "liver.nii.gz").cases for mask in case.masks)


@pytest.mark.parametrize(
    ("names", "classes"),
    [(["rib_left_1", "vertebrae_L1"], True), (["1", "2"], False), (["cell_1", "cell_2"], False)],
)
def test_names_that_differ_in_a_number_alone_are_those_of_objects(
    tmp_path: Path, names: list[str], classes: bool
) -> None:
    write_volume_classes(tmp_path, names)
    found = open_data(tmp_path)[0].classes.names
    assert found == ("background", *(names if classes else ["foreground"]))
