"""Files and folders for models of named channels: which files make an image, and what is said where they are not the model's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.several import open_several
from delineate.inference.channel_inputs import check_channels, check_no_channels, find_channel_inputs
from delineate.inference.inputs import Input, find_inputs

nibabel = pytest.importorskip("nibabel")


def write(path: Path, frames: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.arange(5 * 4 * 3 * frames, dtype=np.int16).reshape(5, 4, 3, frames)
    nibabel.save(nibabel.Nifti1Image(voxels if frames > 1 else voxels[..., 0], np.eye(4)), path)


def numbered(folder: Path, channels: int = 2) -> Path:
    for case in ("head_1", "head_2"):
        for channel in range(channels):
            write(folder / f"{case}_{channel:04d}.nii.gz")
    return folder


def case_folders(root: Path, ends: tuple[str, ...] = ("t1", "flair")) -> Path:
    for number in (1, 2):
        name = f"BraTS20_Validation_{number:03d}"
        for end in ends:
            write(root / name / f"{name}_{end}.nii.gz")
    return root


def names(images: list[Input]) -> dict[str, tuple[str, ...]]:
    return {image.name: tuple(f"{name}={path.name}" for name, path in image.channels) for image in images}


def test_numbers_are_named_by_the_description_above_or_beside(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "imagesTs")
    for place in (tmp_path, folder):
        (place / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "FLAIR"}}))
        found = find_channel_inputs([folder], ("FLAIR", "T1"))
        assert found.notes == ()
        assert names(found.images) == {
            name: (f"T1={name}_0000.nii.gz", f"FLAIR={name}_0001.nii.gz") for name in ("head_1", "head_2")
        }
        (place / "dataset.json").unlink()


def test_bare_numbers_count_the_models_channels_which_is_said(tmp_path: Path) -> None:
    found = find_channel_inputs([numbered(tmp_path)], ("T1", "FLAIR"))
    assert [name for name, _ in found.images[0].channels] == ["T1", "FLAIR"]
    assert found.notes == (
        "without a dataset.json, files are the model's channels by their numbers: _0000 T1, _0001 FLAIR",
    )
    with pytest.raises(
        DataError, match=r"takes 3 channels, .*\(_0000 T1, _0001 FLAIR, _0002 T2\), and this image has _0000, _0001$"
    ):
        find_channel_inputs([tmp_path], ("T1", "FLAIR", "T2"))


@pytest.mark.parametrize(
    ("channels", "wanted", "words"),
    [
        (1, ("T1", "FLAIR"), r"the model takes 2 channels, .*\(_0000 T1, _0001 FLAIR\), and this image has _0000"),
        (3, ("T1", "FLAIR"), r"and this image has _0000, _0001, _0002"),
    ],
)
def test_other_numbers_than_the_models_are_refused(
    tmp_path: Path, channels: int, wanted: tuple[str, ...], words: str
) -> None:
    with pytest.raises(DataError, match=rf"head_1 .*{words}"):
        find_channel_inputs([numbered(tmp_path, channels)], wanted)


def test_channels_for_a_model_without_names_are_noticed(tmp_path: Path) -> None:
    (note,) = check_no_channels(find_inputs([numbered(tmp_path / "imagesTs")]).images)
    assert "head_1_0000.nii.gz, head_1_0001.nii.gz could be channels of one case" in note
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "FLAIR"}}))
    with pytest.raises(DataError, match=r"names 2 channels \(T1, FLAIR\)\), and the model takes images of one channel"):
        check_no_channels(find_inputs([tmp_path / "imagesTs"]).images)
    assert not check_no_channels(find_inputs([tmp_path / "imagesTs/*_0000.nii.gz"]).images)
    assert not check_no_channels(find_inputs([numbered(tmp_path / "one", channels=1)]).images)
    write(tmp_path / "mixed/b_0000.nii.gz")
    write(tmp_path / "mixed/a_0000.nii.gz")
    write(tmp_path / "mixed/a_0001.nii.gz")
    (tmp_path / "dataset.json").unlink()
    assert not check_no_channels(find_inputs([tmp_path / "mixed"]).images), "these are numbered cases"


def test_files_of_four_axes_have_the_channels_of_the_description(tmp_path: Path) -> None:
    write(tmp_path / "imagesTs" / "BRATS_9.nii.gz", frames=2)
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "FLAIR", "1": "T1w"}}))
    for given in (tmp_path / "imagesTs", tmp_path / "imagesTs" / "BRATS_9.nii.gz"):
        (image,) = find_channel_inputs([given], ("T1w", "FLAIR")).images
        assert names([image]) == {"BRATS_9": ("FLAIR=BRATS_9.nii.gz#0", "T1w=BRATS_9.nii.gz#1")}
    handle = open_several([path for _, path in image.channels], [name for name, _ in image.channels])
    assert handle.read().shape == (5, 4, 3, 2)
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "FLAIR", "1": "T1w", "2": "T2w"}}))
    with pytest.raises(DataError, match=r"names 3 channels .*, but .*BRATS_9\.nii\.gz holds 2 volumes"):
        find_channel_inputs([tmp_path / "imagesTs"], ("T1w", "FLAIR"))
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"BRATS_9\.nii\.gz holds 2 volumes .* which is which no header tells"):
        find_channel_inputs([tmp_path / "imagesTs"], ("T1w", "FLAIR"))


def test_case_folders_are_looked_into_and_their_masks_left_out(tmp_path: Path) -> None:
    root = case_folders(tmp_path)
    write(root / "BraTS20_Validation_001" / "BraTS20_Validation_001_seg.nii.gz")
    one = root / "BraTS20_Validation_001"
    for given, number in (([root], 2), ([one], 1), ([str(root / "*" / "*.nii.gz")], 2)):
        found = find_channel_inputs(given, ("FLAIR", "T1"))
        assert names(found.images) == {
            f"BraTS20_Validation_{at:03d}": (
                f"FLAIR=BraTS20_Validation_{at:03d}_flair.nii.gz",
                f"T1=BraTS20_Validation_{at:03d}_t1.nii.gz",
            )
            for at in range(1, number + 1)
        }


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            ("t1", "flair", "t2"),
            "the model takes the channels t1, flair, t2, and this image has flair, t1: t2 is missing",
        ),
        (("t1",), "the model takes the channels t1, and this image has flair, t1: leave out flair"),
        (("t1", "flare"), r"flare is missing; flair is not known \(did you mean 'flare'\?\)"),
    ],
)
def test_other_channels_are_one_line_that_names_both(tmp_path: Path, wanted: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=f"BraTS20_Validation_001 .*{words}") as refused:
        find_channel_inputs([case_folders(tmp_path)], wanted)
    assert "\n" not in str(refused.value)


def test_the_channels_of_a_data_set_are_compared_before_anything_is_written(tmp_path: Path) -> None:
    images = [Input(tmp_path / "a.nii.gz", "a", (("T1", tmp_path / "a.nii.gz"), ("T2", tmp_path / "b.nii.gz")))]
    check_channels(images, ("T2", "T1"))
    with pytest.raises(DataError, match=r"is one of the channels T1, T2; the model takes gray images"):
        check_channels(images, "gray")


def test_files_that_are_no_channels_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "scans" / "a.nii.gz")
    with pytest.raises(DataError, match=r"no image has its channels in files of their own; the model takes T1, FLAIR"):
        find_channel_inputs([tmp_path / "scans"], ("T1", "FLAIR"))


def test_a_data_set_with_masks_needs_a_part(tmp_path: Path) -> None:
    numbered(tmp_path / "imagesTr")
    write(tmp_path / "labelsTr" / "head_1.nii.gz")
    with pytest.raises(DataError, match=r"holds a data set with masks \(labelsTr\): say which part .* --split all"):
        find_channel_inputs([tmp_path], ("T1", "FLAIR"))
