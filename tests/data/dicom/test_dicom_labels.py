"""Segmentations and structure sets as training labels: paired by UIDs, called by their labels, equal to the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import pydicom
from typer.testing import CliRunner

from delineate.cli.root import app
from delineate.common.errors import DataError
from delineate.data.cases.volumes import volume_mask
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.check import check
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.dicom_masks.segmentation import write_segmentation
from delineate.data.formats.dicom_masks.sources import read_sources
from delineate.data.formats.registry import open_image
from delineate.data.layouts.discover import recognize
from delineate.data.layouts.source import DataSource
from dicom_results import MADE_BY, balls, opened, segments, write_fractions, write_rtstruct, write_seg
from planted import NAME_WORDS, found_in
from scanner import NAME, noise, oblique, patient, save, set_pixels, write_series

SHAPE = (14, 11, 7)
KINDS = ("binary", "labelmap", "rtstruct", "binary", "rtstruct", "labelmap")


def truth(at: int) -> NDArray[np.uint8]:
    return np.roll(balls(SHAPE), at % 3, 0)


def series_of(root: Path, at: int, **more: Any) -> Path:
    def change(image: Any, _: int) -> None:
        image.PatientID = f"X{at // 2}"

    turned = {"direction": oblique()} if at == 3 else {}
    return write_series(root / f"p{at}" / "study" / "ct", noise(SHAPE, seed=at), change=change, **turned, **more)


def write(file: Path, mask: NDArray[np.uint8], series: Path, kind: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return write_rtstruct(file, mask, series) if kind == "rtstruct" else write_seg(file, mask, series, kind)  # type: ignore[arg-type]


def study_tree(root: Path, place: Callable[[int], str] = lambda at: f"p{at}/study/9f/1.dcm") -> Path:
    """Six series of three patients, as archives export them; masks of all kinds lie where `place` says."""
    for at, kind in enumerate(KINDS):
        write(root / place(at), truth(at), series_of(root, at), kind)
    return root


def changed(file: Path, change: Callable[[Any], None]) -> Path:
    dataset = pydicom.dcmread(file)
    change(dataset)
    dataset.save_as(file)
    return file


def labels_become(*names: str) -> Callable[[Any], None]:
    """Other labels for the segments or regions, in their order."""

    def change(dataset: Any) -> None:
        described = [item for item in dataset.get("SegmentSequence") or [] if item.SegmentNumber]
        for item, name in zip(described, names, strict=False):
            item.SegmentLabel = name
        for item, name in zip(dataset.get("StructureSetROISequence") or [], names, strict=False):
            item.ROIName = name

    return change


def assert_equal_to_truth(manifest: Manifest) -> None:
    """What training sees of each case is its truth, in canonical order."""
    assert len(manifest.cases) == len(KINDS)
    for at, case in enumerate(manifest.cases):
        turn = Canonical(open_image(manifest.path(case.images[0]))).turn
        assert np.array_equal(volume_mask(manifest, case), turn.apply(truth(at))), case


@pytest.mark.parametrize(
    "place",
    [
        lambda at: f"p{at}/study/9f/1.dcm",
        lambda at: f"masks/{at}",
        lambda at: f"p{at}/study/ct/{at}.seg.dcm",
        lambda at: f"a/b/c/d/{at}.dcm",
    ],
)
def test_masks_are_equal_to_the_truth_wherever_they_lie(tmp_path: Path, place: Callable[[int], str]) -> None:
    report = check(study_tree(tmp_path / "set", place))
    assert report.usable, report.findings
    manifest = report.manifest
    assert manifest is not None
    assert manifest.layout == "DICOM series with DICOM masks"
    assert manifest.classes.names == ("background", "liver", "left kidney", "thing")
    assert manifest.grouping == "3 patients, by a salted hash of PatientID"
    assert [case.id for case in manifest.cases] == [f"case_000{at}" for at in range(1, 7)]
    groups = [case.group for case in manifest.cases]
    assert groups[0] == groups[1] != groups[2] == groups[3] != groups[4] == groups[5]
    by_group = {case.group: case.split for case in manifest.cases}
    assert all(by_group[case.group] == case.split for case in manifest.cases)
    assert_equal_to_truth(manifest)
    assert NAME not in manifest.model_dump_json()


def test_all_files_in_one_folder(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")
    (tmp_path / "flat").mkdir()
    for number, file in enumerate(sorted(file for file in root.rglob("*") if file.is_file())):
        shutil.copy(file, tmp_path / "flat" / f"{number}")
    report = check(tmp_path / "flat")
    assert report.usable, report.findings
    manifest = report.manifest
    assert manifest is not None
    found = sorted(volume_mask(manifest, case).tobytes() for case in manifest.cases)
    report = check(root)
    assert report.manifest is not None
    assert found == sorted(volume_mask(report.manifest, case).tobytes() for case in report.manifest.cases)


def test_masks_elsewhere_are_named(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "data" / "set", lambda at: f"../seg/x/{at}.dcm")
    with pytest.raises(DataError, match="holds 6 images in DICOM, and no masks that belong to them"):
        DataSource(root).manifest()
    for masks in (str(tmp_path / "data" / "seg"), "../seg"):
        report = check(DataSource(root, masks=masks))
        assert report.usable, report.findings
        assert report.manifest is not None
        assert_equal_to_truth(report.manifest)


def test_a_set_can_be_moved(tmp_path: Path) -> None:
    study_tree(tmp_path / "set", lambda at: f"masks/{at}")
    shutil.move(tmp_path / "set", tmp_path / "other")
    found = DataSource(tmp_path / "other").manifest()
    report = check(tmp_path / "other")
    assert report.manifest is not None
    assert [case.masks for case in found.cases] == [case.masks for case in report.manifest.cases]
    assert_equal_to_truth(report.manifest)


def errors(root: Path, **options: Any) -> list[str]:
    return [str(one) for one in recognize(root, **options).findings if one.severity == "error"]


def test_a_mask_without_its_series(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")
    shutil.rmtree(root / "p2" / "study" / "ct")
    (line,) = errors(root)
    assert line.startswith(
        f"p2/study/9f/1.dcm is a mask of a series that is not in {root}; add its images, or leave it out"
    )


def test_a_mask_of_which_some_images_are_missing(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set", lambda at: f"masks/{at}.dcm")
    for file in (root / "p0" / "study" / "ct").iterdir():
        if pydicom.dcmread(file).InstanceNumber == 7:
            file.unlink()
    (line,) = errors(root)
    assert "masks/0.dcm is a mask of 7 images, of which 6 are here (p0/study/ct#series-" in line


def test_a_mask_of_a_faulty_series(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set", lambda at: f"masks/{at}.dcm")
    for file in (root / "p0" / "study" / "ct").iterdir():
        if pydicom.dcmread(file).InstanceNumber == 4:
            file.unlink()
    lines = errors(root)
    assert any("slices are 2.5 mm apart, but 5 mm after" in line for line in lines)
    assert any(
        line.startswith("masks/0.dcm is a mask of a series that cannot be read, p0/study/ct#series-") for line in lines
    )


def test_a_mask_of_several_series(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")

    def change(dataset: Any) -> None:
        other = pydicom.dcmread(next((root / "p1" / "study" / "ct").iterdir()))
        item = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
        item.ReferencedSOPInstanceUID = other.SOPInstanceUID

    changed(root / "p0" / "study" / "9f" / "1.dcm", change)
    (line,) = errors(root)
    assert line.startswith("p0/study/9f/1.dcm is a mask of several series (p0/study/ct#series-")


def test_a_mask_that_names_no_images(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")

    def change(dataset: Any) -> None:
        for keyword in ("ReferencedSeriesSequence", "SourceImageSequence"):
            if keyword in dataset:
                delattr(dataset, keyword)
        for group in dataset.PerFrameFunctionalGroupsSequence:
            del group.DerivationImageSequence

    changed(root / "p0" / "study" / "9f" / "1.dcm", change)
    (line,) = errors(root)
    assert line.startswith("p0/study/9f/1.dcm does not say which images it is of; export it with references")


def test_two_masks_of_one_series(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set", lambda at: f"masks/{at}_a.dcm")
    write(root / "masks" / "0_b.dcm", truth(1), root / "p0" / "study" / "ct", "binary")
    (line,) = errors(root)
    assert "masks/0_a.dcm and masks/0_b.dcm both hold the class 'liver' of p0/study/ct#series-" in line
    assert "--masks with a folder, a file, or a pattern" in line
    report = check(DataSource(root, masks="*_a.dcm"))
    assert report.usable, report.findings
    assert report.manifest is not None
    assert_equal_to_truth(report.manifest)


def test_a_copy_of_a_mask_is_left_out_and_told(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")
    shutil.copy(root / "p0" / "study" / "9f" / "1.dcm", root / "copy.dcm")
    report = check(root)
    assert report.usable
    assert any(one.text == "1 copy of copy.dcm left out" for one in report.findings)


def test_label_volumes_beside_dicom_masks_are_not_guessed(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    from delineate.data.formats.nifti import write_volume_image

    root = study_tree(tmp_path / "set", lambda at: f"seg/{at}.dcm")
    for at in range(6):
        image = opened(root / f"p{at}" / "study" / "ct")
        assert image.geometry is not None
        write_volume_image(root / f"p{at}" / "study" / "ct_mask.nii.gz", truth(at) * 2, image.geometry)
    with pytest.raises(
        DataError, match=r"holds DICOM masks \(seg/0.dcm, …\) and other masks \(p0/study/ct_mask.nii.gz, …\)"
    ):
        DataSource(root).manifest()
    manifest = check(DataSource(root, masks="seg")).manifest
    assert manifest is not None
    assert_equal_to_truth(manifest)


def test_series_without_masks_are_left_out_or_unlabeled(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")
    write_series(root / "p0" / "study" / "pet", noise(SHAPE, seed=9))
    write_series(root / "unlabeled" / "p7", noise(SHAPE, seed=10))
    match = recognize(root)
    assert sum(not case.masks for case in match.cases) == 1
    (line,) = [str(one) for one in match.findings if "left out" in one.text]
    assert line.startswith("1 DICOM image without mask is left out: p0/study/pet#series-")


def test_folders_of_splits_hold(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for at, kind in enumerate(KINDS):
        folder = root / ("test" if at == 5 else "train")
        write(folder / f"p{at}" / "m.dcm", truth(at), series_of(folder, at), kind)
    match = recognize(root)
    assert match.split_origin == "folders"
    assert sorted(str(case.split) for case in match.cases) == ["test", *["train"] * 5]


def renumbered(file: Path, numbers: dict[int, int]) -> None:
    """A binary segmentation with other numbers for its segments."""

    def change(dataset: Any) -> None:
        for item in dataset.SegmentSequence:
            item.SegmentNumber = numbers[item.SegmentNumber]
        for group in dataset.PerFrameFunctionalGroupsSequence:
            item = group.SegmentIdentificationSequence[0]
            item.ReferencedSegmentNumber = numbers[item.ReferencedSegmentNumber]

    changed(file, change)


def test_classes_are_matched_by_name_where_numbers_differ(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")
    renumbered(root / "p0" / "study" / "9f" / "1.dcm", {1: 3, 2: 1, 3: 2})
    changed(root / "p1" / "study" / "9f" / "1.dcm", labels_become("Liver", "LEFT_KIDNEY", "thing"))
    report = check(root)
    assert report.usable, report.findings
    manifest = report.manifest
    assert manifest is not None
    assert manifest.classes.names == ("background", "left kidney", "liver", "thing")
    order = np.array([0, 2, 1, 3], np.uint8)  # of the truth's classes
    for at, case in enumerate(manifest.cases):
        if at != 3:
            assert np.array_equal(volume_mask(manifest, case), order[truth(at)][::-1, ::-1])
    told = next(str(one) for one in report.findings if "number their classes differently" in one.text)
    assert told.endswith("matched by their names: 1 left kidney, 2 liver, 3 thing")


def test_a_class_that_some_masks_lack_is_told_with_files(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")
    changed(root / "p0" / "study" / "9f" / "1.dcm", labels_become("liver", "left kidney", "spleen"))
    report = check(root)
    said = [one.text for one in report.findings if one.severity == "warning"]
    assert "1 mask has no segment thing, read as without it: p0/study/9f/1.dcm" in said
    assert any(
        line.startswith("5 masks have no segment spleen, read as without it: p1/study/9f/1.dcm, ") for line in said
    )


@pytest.mark.parametrize(
    "names", [("Segment_1", "Segment_2", "Segment_3"), ("", "ROI-2", "3"), ("liver", "label 2", "thing")]
)
def test_names_that_tell_nothing_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = study_tree(tmp_path / "set")
    for at in range(6):
        changed(root / f"p{at}" / "study" / "9f" / "1.dcm", labels_become(*names))
    with pytest.raises(
        DataError, match=r"whose names tell nothing: .* \(2\).*; name them: --labels '1=.*,2=NAME,3=.*'"
    ):
        DataSource(root).manifest()
    assert not check(root).usable
    report = check(DataSource(root, labels="1=liver,2=left kidney,3=thing"))
    assert report.usable, report.findings
    assert report.manifest is not None
    assert_equal_to_truth(report.manifest)


def overlapping(file: Path) -> Path:
    """A segmentation whose third segment covers the frames of its first one, too."""

    def change(dataset: Any) -> None:
        size = dataset.Rows * dataset.Columns
        bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
        frames = bits[: dataset.NumberOfFrames * size].reshape(-1, size)
        for at, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 3:
                frames[at] = 1
        packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
        dataset.PixelData = packed + b"\0" * (len(packed) % 2)

    return changed(file, change)


def test_overlapping_segments_are_refused_unless_one_is_background(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")
    overlapping(root / "p0" / "study" / "9f" / "1.dcm")
    report = check(root)
    assert not report.usable
    assert any("1.dcm: the segments 'liver' and 'thing' overlap" in str(one) for one in report.findings)
    report = check(DataSource(root, labels="1=liver,2=left kidney,3=background"))
    assert report.usable, report.findings
    manifest = report.manifest
    assert manifest is not None
    assert manifest.classes.names == ("background", "liver", "left kidney")
    for at, case in enumerate(manifest.cases):
        if at != 3:
            expected = truth(at) * (truth(at) < 3)
            assert np.array_equal(volume_mask(manifest, case), expected[::-1, ::-1])


def test_a_structure_set_that_leaves_the_volume(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set")

    def change(dataset: Any) -> None:
        contour = dataset.ROIContourSequence[0].ContourSequence[0]
        contour.ContourData = [
            float(value) + (100 if at % 3 == 0 else 0) for at, value in enumerate(contour.ContourData)
        ]

    changed(root / "p2" / "study" / "9f" / "1.dcm", change)
    report = check(root)
    assert not report.usable
    assert any("1.dcm leaves " in str(one) and "a contour lies" in str(one) for one in report.findings)


def test_classes_are_not_named_by_folders(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set", lambda at: f"seg/{at}.dcm")
    with pytest.raises(
        DataError, match=r"--masks liver=seg: DICOM masks \(0.dcm, …\) bring the names of their classes"
    ):
        DataSource(root, masks="liver=seg").manifest()


def test_images_are_chosen(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set", lambda at: f"seg/{at}.dcm")
    assert len(recognize(root, images="p0,p1", masks="seg/0.dcm,seg/1.dcm").cases) == 2
    with pytest.raises(
        DataError, match=r"--images: p9 holds no DICOM series in .*; there are p0/study/ct, p1/study/ct, "
    ):
        recognize(root, images="p9")


def test_pictures_have_dicom_masks(tmp_path: Path) -> None:
    for at in range(3):
        image = patient(at, "DX", "DigitalXRayImageStorageForPresentation")
        set_pixels(image, np.random.default_rng(at).integers(0, 4000, (20, 16)).astype(np.uint16))
        path = save(image, tmp_path / "set" / f"x{at}.dcm", at)
        mask = np.zeros((1, 20, 16), np.uint8)
        mask[0, 2 + at : 9, 3:9] = 1
        target = tmp_path / "set" / "masks" / f"{at}.dcm"
        target.parent.mkdir(exist_ok=True)
        write_segmentation(target, mask, read_sources([(path, 0)]), segments(("lung",)), MADE_BY)
    report = check(tmp_path / "set")
    assert not [one for one in report.findings if one.severity == "error" and "split" not in one.text]
    manifest = report.manifest
    assert manifest is not None
    assert manifest.classes.names == ("background", "lung")
    from delineate.data.cases.pixels import case_mask

    for at, case in enumerate(manifest.cases):
        found = case_mask(manifest, case)
        assert found is not None
        assert found.shape == (20, 16)
        assert found.sum() == (7 - at) * 6


def test_pages_show_no_names_of_files(tmp_path: Path) -> None:
    root = study_tree(tmp_path / "set", lambda at: f"Allan Quatermain {at}/Umslopogaas_{at}.dcm")
    (root / "p0").rename(root / "Quatermain+Allan: 0")
    result = CliRunner().invoke(app, ["data", "check", str(root), "--report", str(tmp_path / "out" / "page.html")])
    assert result.exit_code == 0, result.output
    assert "DICOM series with DICOM masks" in (tmp_path / "out" / "page.html").read_text()
    assert not found_in(tmp_path / "out", NAME_WORDS)


def test_fractions_become_labels_and_are_told(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for at in range(2):
        write_fractions(root / f"{at}.dcm", series_of(root, at), 200 + at)
    report = check(root)
    told = [str(one) for one in report.findings if one.severity == "warning" and "fractions" in one.text]
    assert len(told) == 1
    assert told[0].startswith(
        "0.dcm holds fractions (PROBABILITY, up to 200): a voxel is a segment's where it has at least half"
    )
    manifest = report.manifest
    assert manifest is not None
    assert volume_mask(manifest, manifest.cases[0])[::-1, ::-1][:4, 3, 2].tolist() == [0, 0, 1, 1]
