"""Volumes as challenges and tools keep them: the Decathlon, nnU-Net, BraTS, TotalSegmentator; in any format of volumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cases.pixels import open_case
from delineate.data.cases.volumes import volume_image, volume_mask
from delineate.data.convert.convert import convert
from delineate.data.core.geometry import check_same_geometry
from delineate.data.core.manifest import Case
from delineate.data.doctor.check import check
from delineate.data.formats import nifti
from delineate.data.formats.registry import open_image, write_mask
from delineate.data.layouts.discover import Match, find_volumes, recognize
from delineate.data.layouts.groups import with_groups
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data

nibabel = pytest.importorskip("nibabel")

SHAPE = (8, 7, 4)
Change = Callable[[Path], Any]


def write(path: Path, voxels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".mha", ".nrrd")):
        package = pytest.importorskip("SimpleITK")
        package.WriteImage(package.GetImageFromArray(voxels.T), str(path))
    else:
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1, 3, 1])), path)


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 900, SHAPE).astype(np.int16)


def labels(*values: int) -> np.ndarray:
    """One row for each value."""
    found = np.zeros(SHAPE, np.uint8)
    for row, value in enumerate(values):
        found[row, :, 1:3] = value
    return found


def describe(root: Path, **content: Any) -> None:
    (root / "dataset.json").write_text(json.dumps(content))


def decathlon(root: Path, suffix: str = ".nii.gz", cases: int = 4) -> Path:
    for number in range(cases):
        frames = np.stack([image(10 * number + frame) for frame in range(3)], axis=-1)
        if suffix == ".nii.gz":
            write(root / "imagesTr" / f"BRATS_{number:03d}{suffix}", frames)
        else:
            package = pytest.importorskip("SimpleITK")
            (root / "imagesTr").mkdir(parents=True, exist_ok=True)
            package.WriteImage(
                package.GetImageFromArray(frames.transpose(2, 1, 0, 3), isVector=True),
                str(root / "imagesTr" / f"BRATS_{number:03d}{suffix}"),
            )
        write(root / "labelsTr" / f"BRATS_{number:03d}{suffix}", labels(1, 2))
        (root / "imagesTr" / f"._BRATS_{number:03d}{suffix}").write_bytes(b"left by macOS")
    listed = [
        {"image": f"./imagesTr/BRATS_{n:03d}{suffix}", "label": f"./labelsTr/BRATS_{n:03d}{suffix}"}
        for n in range(cases)
    ]
    described = {"0": "FLAIR", "1": "T1w", "2": "T2w"}
    describe(root, modality=described, labels={"0": "background", "1": "edema", "2": "core"}, training=listed)
    return root


def brats(root: Path, cases: int = 4, ends: tuple[str, ...] = ("_t1", "_t1ce", "_flair"), mask: str = "_seg") -> Path:
    for number in range(1, cases + 1):
        name = f"BraTS20_Training_{number:03d}"
        for at, end in enumerate(ends):
            write(root / name / f"{name}{end}.nii.gz", image(10 * number + at))
        write(root / name / f"{name}{mask}.nii.gz", labels(1, 4))
    return root


def total(root: Path, cases: int = 4, names: tuple[str, ...] = ("spleen", "liver", "kidney_left")) -> Path:
    for number in range(1, cases + 1):
        folder = root / f"s{number:04d}"
        write(folder / "ct.nii.gz", image(number))
        for row, name in enumerate(names):
            marked = np.zeros(SHAPE, np.uint8)
            marked[row] = 1
            write(folder / "segmentations" / f"{name}.nii.gz", marked)
    return root


def errors(found: Match) -> list[str]:
    return [str(finding) for finding in found.findings if finding.severity == "error"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_frames_of_a_file_are_the_channels_that_the_description_names(tmp_path: Path, suffix: str) -> None:
    manifest, census = open_data(decathlon(tmp_path, suffix), cache_folder=tmp_path / "cache")
    assert manifest.channels == census.named == ("FLAIR", "T1w", "T2w")
    case = next(case for case in manifest.cases if case.id == "BRATS_002")
    assert case.images == tuple(f"imagesTr/BRATS_002{suffix}#{frame}" for frame in range(3))
    assert manifest.classes.names == ("background", "edema", "core")
    assert manifest.notes == ()
    handle = open_case(manifest, case)
    assert np.array_equal(handle.read(), np.stack([image(20 + frame) for frame in range(3)], axis=-1))
    assert handle.digest() == case.hashes[case.images[0]]
    assert volume_image(manifest, case).shape == (*SHAPE, 3)
    manifest.save(tmp_path / "manifest.json")
    assert DataSource(tmp_path / "manifest.json").manifest().cases == manifest.cases


def test_a_file_of_frames_is_unpacked_once_for_all_of_its_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, _ = open_data(decathlon(tmp_path), cache_folder=tmp_path / "cache")
    loads = []
    load = nifti._load
    monkeypatch.setattr(nifti, "_load", lambda path: loads.append(path) or load(path))
    handle = open_case(manifest, manifest.cases[0])
    first = handle.read()
    assert len(loads) == 1
    assert np.array_equal(handle.read(), first), "and again, the file having been let go"
    assert len(loads) == 2


def test_frames_without_names_are_refused_with_the_way_out(tmp_path: Path) -> None:
    root = decathlon(tmp_path)
    (root / "dataset.json").unlink()
    (line,) = errors(recognize(root))
    assert "BRATS_000.nii.gz holds 3 volumes (frames over time, or channels); which is which no header tells" in line
    assert "image_T1" in line
    labels_alone = find_volumes(root)
    assert labels_alone is not None
    assert (errors(labels_alone), len(labels_alone.cases)) == ([], 4), "who scores by the labels needs no images"
    describe(root, modality={"0": "MRI"}, labels={"0": "background", "1": "edema", "2": "core"})
    (line,) = errors(recognize(root))
    assert "dataset.json names 1 channel (MRI)" in line


def test_a_table_names_frames_by_their_addresses(tmp_path: Path) -> None:
    root = decathlon(tmp_path)
    rows = [
        f"imagesTr/BRATS_00{n}.nii.gz#1,imagesTr/BRATS_00{n}.nii.gz#0,labelsTr/BRATS_00{n}.nii.gz\n" for n in range(4)
    ]
    (root / "table.csv").write_text("image_T1,image_FLAIR,mask\n" + "".join(rows))
    manifest, _ = open_data(root / "table.csv", cache_folder=tmp_path / "cache")
    assert manifest.channels == ("T1", "FLAIR")
    case = next(case for case in manifest.cases if case.id == "BRATS_002")
    assert np.array_equal(open_case(manifest, case).read(), np.stack([image(21), image(20)], axis=-1))
    (root / "table.csv").write_text("image,mask\n" + "".join(row.partition(",")[2] for row in rows))
    single, census = open_data(root / "table.csv", cache_folder=tmp_path / "cache")
    assert (single.channels, census.gray) == ((), True)
    (root / "table.csv").write_text("image,mask\n" + rows[0].partition(",")[2].replace("#0", "#7"))
    line = next(str(one) for one in check(root / "table.csv").findings if one.severity == "error")
    assert "BRATS_000.nii.gz#7 does not exist: the file holds 3 volumes" in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda root: describe(root, modality={"0": "A", "1": "B"}),
            "names 2 channels (A, B), but 4 of 4 images hold 3",
        ),
        (
            lambda root: write(root / "imagesTr" / "BRATS_001.nii.gz", image(1)),
            "names 3 channels (FLAIR, T1w, T2w), but 1 of 4 images hold one alone: imagesTr/BRATS_001.nii.gz",
        ),
    ],
)
def test_a_description_at_odds_with_the_frames_is_an_error(tmp_path: Path, change: Change, words: str) -> None:
    change(decathlon(tmp_path))
    (line,) = errors(recognize(tmp_path))
    assert words in line


def test_cases_that_the_description_lists_and_that_are_not_here_are_told(tmp_path: Path) -> None:
    root = decathlon(tmp_path)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder / "BRATS_003.nii.gz").rename(root / folder / "extra.nii.gz")
    texts = [str(finding) for finding in recognize(root).findings if finding.severity == "warning"]
    assert any("lists 1 training case that is not here: BRATS_003" in text for text in texts)
    assert any("1 case of images and labels not in the list" in text and "extra" in text for text in texts)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_nnunets_raw_folders_hold_volumes_of_several_channels(tmp_path: Path, suffix: str) -> None:
    for number in range(4):
        for channel in range(2):
            write(tmp_path / "imagesTr" / f"head_{number}_{channel:04d}{suffix}", image(10 * number + channel))
        write(tmp_path / "labelsTr" / f"head_{number}{suffix}", labels(1, 2))
    write(tmp_path / "imagesTs" / f"head_9_0000{suffix}", image(9))
    named = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "whole": [1, 2], "core": 2}}
    describe(tmp_path, **named, regions_class_order=[1, 2], numTraining=4, file_ending=suffix)
    manifest, _ = open_data(tmp_path, cache_folder=tmp_path / "cache")
    assert manifest.channels == ("T1", "FLAIR")
    assert [region.name for region in manifest.classes.regions] == ["whole", "core"]
    assert manifest.cases[0].images == (f"imagesTr/head_0_0000{suffix}", f"imagesTr/head_0_0001{suffix}")
    assert any("imagesTs" in note for note in manifest.notes)
    describe(tmp_path, channel_names={"0": "T1"}, labels={"background": 0, "tumor": 1, "core": 2})
    (line,) = errors(recognize(tmp_path))
    assert "names 1 channel (T1), but each image has the files _0000, _0001" in line
    (tmp_path / "imagesTr" / f"head_2_0001{suffix}").unlink()
    (line,) = errors(recognize(tmp_path))
    assert "head_2_0001" in line


def test_case_folders_are_cases_with_channels_by_name(tmp_path: Path) -> None:
    manifest, census = open_data(brats(tmp_path / "set"), cache_folder=tmp_path / "cache")
    assert manifest.channels == census.named == ("flair", "t1", "t1ce")
    assert sorted(case.id for case in manifest.cases) == [f"BraTS20_Training_{n:03d}" for n in range(1, 5)]
    assert {case.split for case in manifest.cases} == {"train", "val", "test"}, "their names tell no split"
    case = next(case for case in manifest.cases if case.id.endswith("_003"))
    assert np.array_equal(open_case(manifest, case).read(), np.stack([image(30 + at) for at in (2, 0, 1)], axis=-1))
    assert np.unique(volume_mask(manifest, case)).tolist() == [0, 1, 2]


def shortened(root: Path) -> None:
    for path in list(root.rglob("*.nii.gz")):
        path.rename(path.with_name(path.name.split("_")[-1]))


def flattened(root: Path) -> None:
    for path in list(root.rglob("*.nii.gz")):
        path.rename(root / path.name)
    for folder in list(root.iterdir()):
        if folder.is_dir():
            folder.rmdir()


@pytest.mark.parametrize("change", [shortened, flattened], ids=["short names", "one folder"])
def test_case_folders_in_other_writings(tmp_path: Path, change: Change) -> None:
    change(brats(tmp_path))
    found = recognize(tmp_path)
    assert (found.findings, found.channels) == ([], ("flair", "t1", "t1ce"))
    assert [case.id for case in found.cases] == [f"BraTS20_Training_{n:03d}" for n in range(1, 5)]


def test_newer_names_of_brats_and_its_time_points(tmp_path: Path) -> None:
    for patient in range(4):
        for time in range(2):
            name = f"BraTS-GLI-{patient:05d}-{time:03d}"
            for end in ("t1n", "t2f"):
                write(tmp_path / name / f"{name}-{end}.nii.gz", image(patient))
            write(tmp_path / name / f"{name}-seg.nii.gz", labels(1))
    found = recognize(tmp_path)
    assert (found.findings, found.channels) == ([], ("t1n", "t2f"))
    assert {case.group for case in found.cases} == {f"BraTS-GLI-{patient:05d}" for patient in range(4)}


def in_case(name: str, number: int = 3) -> str:
    case = f"BraTS20_Training_{number:03d}"
    return f"{case}/{case}{name}.nii.gz"


CASE_FAULTS: dict[str, tuple[Change, str]] = {
    "a channel lacks": (
        lambda root: (root / in_case("_t1ce")).unlink(),
        "1 case lacks a channel that the others have: BraTS20_Training_003 has no t1ce",
    ),
    "a channel is renamed": (
        lambda root: (root / in_case("_t1ce")).rename(root / in_case("_t1c")),
        "has no t1ce (but BraTS20_Training_003_t1c.nii.gz)",
    ),
    "the mask is called otherwise": (
        lambda root: (root / in_case("_seg")).rename(root / "BraTS20_Training_003" / "W39_1998_Segm.nii.gz"),
        "1 case has no mask: BraTS20_Training_003 (is it W39_1998_Segm.nii.gz?)",
    ),
    "two masks": (
        lambda root: shutil.copy(root / in_case("_seg"), root / in_case("_seg_2")),
        "1 case has several masks, such as BraTS20_Training_003",
    ),
}


@pytest.mark.parametrize("fault", CASE_FAULTS)
def test_each_fault_of_a_case_folder_is_a_line_that_names_it(tmp_path: Path, fault: str) -> None:
    change, words = CASE_FAULTS[fault]
    change(brats(tmp_path))
    found = recognize(tmp_path)
    (line,) = errors(found)
    assert words in line
    assert "\n" not in line
    assert len(found.cases) == 3, "the others could be read"


def test_what_lies_beside_the_channels_is_told(tmp_path: Path) -> None:
    root = brats(tmp_path)
    shutil.copy(root / in_case("_t1"), root / in_case("_t1_old"))
    shutil.copy(root / in_case("_seg"), root / in_case("_pred"))
    name = "BraTS20_Validation_001"
    for end in ("_t1", "_t1ce", "_flair"):
        write(root / name / f"{name}{end}.nii.gz", image(9))
    found = recognize(root)
    assert (errors(found), len(found.cases)) == ([], 4)
    texts = [str(finding) for finding in found.findings]
    assert any("not used: BraTS20_Training_003_t1_old.nii.gz" in text for text in texts)
    assert any("1 image file not used" in text and "_pred.nii.gz" in text for text in texts)
    assert any("1 case without masks, not used (BraTS20_Validation_001)" in text for text in texts)


def test_some_of_the_channels_are_named_by_patterns(tmp_path: Path) -> None:
    root = brats(tmp_path)
    found = recognize(root, "*_t1.nii.gz,*_flair.nii.gz", "*_seg.nii.gz")
    assert (errors(found), found.channels, len(found.cases)) == ([], ("flair", "t1"), 4)
    one = recognize(root, "*_t1.nii.gz", "*_seg.nii.gz")
    assert (errors(one), one.channels, len(one.cases)) == ([], (), 4)
    with pytest.raises(DataError, match=r"the pattern '\*_t7\.nii\.gz' matches nothing"):
        recognize(root, "*_t1.nii.gz,*_t7.nii.gz", "*_seg.nii.gz")


def test_images_without_masks_have_the_same_channels(tmp_path: Path) -> None:
    root = brats(tmp_path)
    more = brats(tmp_path / "more", cases=1)
    for path in list(more.rglob("*_seg.nii.gz")):
        path.unlink()
    shutil.move(str(more / "BraTS20_Training_001"), root / "unlabeled" / "new_7")
    shutil.rmtree(more)
    found = recognize(root)
    bare = [case for case in found.cases if not case.masks]
    assert [len(case.images) for case in bare] == [3]
    assert bare[0].images[0].endswith("_flair.nii.gz")
    next((root / "unlabeled").rglob("*_flair.nii.gz")).unlink()
    with pytest.raises(
        DataError, match=r"has no mask and the channels t1, t1ce, but those with masks have flair, t1, t1ce"
    ):
        recognize(root)


def test_files_of_one_structure_each_are_classes_by_their_names(tmp_path: Path) -> None:
    root = total(tmp_path / "set")
    (root / "s0003" / "segmentations" / "liver.nii.gz").unlink()
    manifest, census = open_data(root, cache_folder=tmp_path / "cache")
    assert manifest.classes.names == ("background", "kidney_left", "liver", "spleen")
    assert [case.id for case in manifest.cases] == ["s0001", "s0002", "s0003", "s0004"]
    assert {case.group for case in manifest.cases} == {None}
    first, third = manifest.cases[0], manifest.cases[2]
    # Rows are in the order in which the files were written: spleen, liver, kidney.
    assert volume_mask(manifest, first)[:4, 0, 0].tolist() == [3, 2, 1, 0]
    assert volume_mask(manifest, third)[:4, 0, 0].tolist() == [3, 0, 1, 0]
    assert "1 image has no mask of liver, read as without it: s0003" in manifest.notes
    assert any(
        "3 masks in a folder of each case are read as classes in the order of their names" in n for n in manifest.notes
    )
    assert census.axis == 2


def test_a_hundred_structures_are_read_and_messages_stay_short(tmp_path: Path) -> None:
    names = tuple(
        f"structure_{a}{b}" for a in "abcdefghij" for b in "hklmnopqrsu"
    )  # one ends with 'ah', a word of masks
    root = total(tmp_path, cases=3, names=names[:4])
    for case in root.iterdir():
        for name in names[1:]:
            shutil.copy(case / "segmentations" / f"{names[0]}.nii.gz", case / "segmentations" / f"{name}.nii.gz")
    report = check(root)
    assert report.usable
    assert report.manifest is not None
    assert len(report.manifest.classes.names) == 111
    assert len(dict(report.rows)["matched"]) < 400
    assert any("overlap in 2 images of 2 looked at" in str(finding) for finding in report.findings)
    write(root / "s0002" / "segmentations" / f"{names[5]}.nii.gz", np.zeros((8, 7, 5), np.uint8))
    line = next(str(finding) for finding in check(root).findings if finding.severity == "error")
    assert f"{names[5]}.nii.gz, another class of the same image" in line
    assert len(line) < 600


def test_a_few_structures_are_chosen_by_their_files(tmp_path: Path) -> None:
    root = total(tmp_path)
    found = recognize(root, masks="organ=liver.nii.gz,organ=spleen.nii.gz,kidney=kidney_left.nii.gz")
    assert (errors(found), found.classes.names) == ([], ("background", "organ", "kidney"))
    one = recognize(root, masks="liver.nii.gz")
    assert (errors(one), one.cases[0].masks) == ([], ("s0001/segmentations/liver.nii.gz",))


def test_the_splits_of_totalsegmentators_table_hold(tmp_path: Path) -> None:
    root = total(tmp_path)
    rows = "".join(f"s{n:04d};50;{split}\n" for n, split in enumerate(("train", "val", "test"), start=1))
    (root / "meta.csv").write_text("image_id;age;split\n" + rows)
    found = recognize(root)
    assert [case.split for case in found.cases] == ["train", "val", "test", None]
    assert any(
        "1 case is without a split in meta.csv and not used: s0004" in str(finding) for finding in found.findings
    )
    (root / "meta.csv").write_text("image_id;split\ns0001;trian\n")
    (line,) = errors(recognize(root))
    assert "unknown split 'trian' of s0001; did you mean 'train'?" in line


@pytest.mark.parametrize(
    ("names", "group"),
    [
        (("patient001_frame01", "patient001_frame12", "patient002_frame01", "patient003_frame01"), "patient001"),
        (("sub-01_ses-01_T1w", "sub-01_ses-02_T1w", "sub-02_ses-01_T1w", "sub-03_ses-01_T1w"), "sub-01"),
    ],
)
def test_volumes_of_a_patient_are_one_group(names: tuple[str, ...], group: str) -> None:
    cases, _, _ = with_groups([Case(id=name, images=(f"images/{name}.nii.gz",)) for name in names])
    assert [case.group for case in cases[:2]] == [group, group]
    assert len({case.group for case in cases}) == 3


def test_pictures_keep_asking_what_masks_of_the_same_names_are(tmp_path: Path) -> None:
    for number in range(3):
        for name in ("image", "masks/liver", "masks/spleen"):
            path = tmp_path / f"p{number}" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mask(path, np.eye(16, dtype=np.uint8) * 255)
    (line,) = errors(recognize(tmp_path))
    assert "--masks liver=liver.png,spleen=spleen.png makes them classes" in line


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_frames_become_files_of_other_forms(tmp_path: Path, suffix: str) -> None:
    root = decathlon(tmp_path / "set", suffix)
    convert(DataSource(root), "nnunet", tmp_path / "made")
    made, _ = open_data(tmp_path / "made", cache_folder=tmp_path / "cache")
    assert made.channels == ("FLAIR", "T1w", "T2w")
    stored = nibabel.load(tmp_path / "made" / "imagesTr" / "BRATS_001_0002.nii.gz")
    assert (stored.get_data_dtype(), np.array_equal(stored.dataobj, image(12))) == (np.int16, True)
    same, other = (
        open_image(path) for path in (root / "imagesTr" / f"BRATS_001{suffix}#2", Path(stored.get_filename()))
    )
    assert same.geometry is not None
    assert other.geometry is not None
    check_same_geometry(same.geometry, same.path, other.geometry, other.path)


def test_lists_name_cases_of_frames_by_their_files(tmp_path: Path) -> None:
    root = decathlon(tmp_path)
    for split, numbers in {"train": (0, 1), "val": (2,), "test": (3,)}.items():
        (root / f"{split}.txt").write_text("".join(f"imagesTr/BRATS_{number:03d}.nii.gz\n" for number in numbers))
    assert [case.split for case in recognize(root).cases] == ["train", "train", "val", "test"]
