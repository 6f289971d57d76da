"""DICOM segmentations: what is written is read back at the same place, by us and by highdicom; what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import pydicom

from delineate.common.errors import DataError
from delineate.data.formats.dicom_masks.codes import default_segments
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.other_readers import by_highdicom
from delineate.data.formats.dicom_masks.segmentation import write_segmentation
from delineate.data.formats.dicom_masks.segmentation_reader import SegmentationHandle
from delineate.data.formats.dicom_masks.sources import read_sources
from dicom_results import MADE_BY, NAMES, balls, opened, segments, write_fractions, write_seg
from scanner import ID, NAME, noise, oblique, patient, save, set_pixels, write_enhanced, write_series

SHAPE = (14, 11, 7)
TILTED = np.array([0.0, 0.6, 2.5])


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each kind."""
    folder = tmp_path_factory.mktemp("series")
    voxels = noise(SHAPE)
    return {
        "axial": write_series(folder / "axial", voxels, modality="MR"),
        "oblique": write_series(folder / "oblique", voxels, direction=oblique()),
        "tilted": write_series(folder / "tilted", voxels, step=TILTED),
        "frames": write_enhanced(folder / "frames.dcm", voxels, order=[3, 1, 0, 5, 6, 4, 2], direction=oblique()),
    }


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("what", ["axial", "oblique", "tilted", "frames"])
def test_what_is_written_is_read_at_the_same_place(
    tmp_path: Path, series: dict[str, Path], what: str, kind: str
) -> None:
    image, mask = opened(series[what]), balls(SHAPE)
    found = open_object(write_seg(tmp_path / "a.seg.dcm", mask, series[what], kind))
    assert np.array_equal(found.drawn(image.geometry, image.path), mask)
    assert found.names == dict(enumerate(NAMES, 1))
    assert found.references.frame == image.geometry.frame
    assert found.references.fits(image.frames[0].header.series, {frame.header.instance for frame in image.frames})
    other = by_highdicom(tmp_path / "a.seg.dcm", image.geometry)
    assert (other is None) == (what == "tilted")
    assert other is None or np.array_equal(other, mask)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_nothing_found_is_a_valid_object(tmp_path: Path, series: dict[str, Path], kind: str) -> None:
    found = open_object(write_seg(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), series["axial"], kind))
    assert found.shape == SHAPE
    assert not found.read().any()


def test_one_voxel_in_slices_far_apart(tmp_path: Path, series: dict[str, Path]) -> None:
    """Of a tilted series, where only the stated distance of slices tells how many are left out between them."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 4, 1] = mask[5, 6, 5] = 2
    for what in ("axial", "tilted"):
        image = opened(series[what])
        found = open_object(write_seg(tmp_path / f"{what}.dcm", mask, series[what]))
        assert found.shape == (14, 11, 5)
        assert np.array_equal(found.drawn(image.geometry, image.path), mask)


def test_the_object_belongs_to_the_patient_and_says_what_made_it(tmp_path: Path, series: dict[str, Path]) -> None:
    write_seg(tmp_path / "a.dcm", balls(SHAPE), series["axial"])
    made = pydicom.dcmread(tmp_path / "a.dcm")
    source = pydicom.dcmread(opened(series["axial"]).frames[0].path)
    assert (made.PatientName, made.PatientID, made.StudyInstanceUID) == (NAME, ID, source.StudyInstanceUID)
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert made.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert (made.Modality, made.SeriesNumber, made.ContentQualification) == ("SEG", 201, "RESEARCH")
    assert (made.DeviceSerialNumber, made.SoftwareVersions) == (MADE_BY.model_sha256, "1.2.3")
    first, second, third = made.SegmentSequence
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    side = second.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert (second.SegmentLabel, side.CodeMeaning) == ("left kidney", "Left")
    assert third.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    algorithm = first.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("unet", "1.2.3")
    assert MADE_BY.model_sha256 in algorithm.AlgorithmParameters
    assert all(len(item.RecommendedDisplayCIELabValue) == 3 for item in made.SegmentSequence)


def test_a_picture_without_positions(tmp_path: Path) -> None:
    image = patient("dx", "DX", "DigitalXRayImageStorageForPresentation")
    set_pixels(image, np.arange(130, dtype=np.uint16).reshape(10, 13))
    path = save(image, tmp_path / "X1", "x")
    mask = np.zeros((1, 10, 13), np.uint8)
    mask[0, 2:5, 3:9] = 1
    write_segmentation(tmp_path / "a.dcm", mask, read_sources([(path, 0)]), segments(("lung",)), MADE_BY)
    found = open_object(tmp_path / "a.dcm")
    assert found.geometry is None
    assert np.array_equal(found.read(), mask[0])


@pytest.mark.parametrize("contradicting", [False, True])
def test_frames_of_a_label_map_at_one_place(tmp_path: Path, series: dict[str, Path], contradicting: bool) -> None:
    """They are one slice where they do not contradict; a voxel of two segments is refused."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 4, 2], mask[5, 6, 3], mask[3, 4, 3] = 1, 2, 2 if contradicting else 1
    made = pydicom.dcmread(write_seg(tmp_path / "a.dcm", mask, series["axial"], "labelmap"))
    groups = made.PerFrameFunctionalGroupsSequence
    heights = [group.PlanePositionSequence[0].ImagePositionPatient[2] for group in groups]
    low, high = (heights.index(height) for height in sorted(heights)[2:4])
    groups[high].PlanePositionSequence = groups[low].PlanePositionSequence
    made.save_as(tmp_path / "b.dcm")
    if contradicting:
        with pytest.raises(
            DataError, match=r"b\.dcm: two frames at one place mark the same voxels as '.*' and '.*'; restore it"
        ):
            open_object(tmp_path / "b.dcm").read()
        return
    found = open_object(tmp_path / "b.dcm").read()
    assert (found[3, 4].max(), found[5, 6].max()) == (1, 2)
    assert np.count_nonzero(found) == 2


def _changed(tmp_path: Path, series: Path, change) -> Path:
    made = pydicom.dcmread(write_seg(tmp_path / "a.dcm", balls(SHAPE), series))
    change(made)
    made.save_as(tmp_path / "b.dcm")
    return tmp_path / "b.dcm"


def _overlapping(made: pydicom.Dataset) -> None:
    """Every frame of the second segment becomes one of the first, with the same pixels at the same place."""
    for group in made.PerFrameFunctionalGroupsSequence[1:]:
        group.PlanePositionSequence = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    frame = 14 * 11 // 8 + 1
    made.PixelData = b"\xff" * (len(made.PixelData) // frame * frame + 20)


def _other_number(made: pydicom.Dataset) -> None:
    made.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9


def _no_spacing(made: pydicom.Dataset) -> None:
    made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.0, 1.0]


def _uneven(made: pydicom.Dataset) -> None:
    made.PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence[0].ImagePositionPatient[2] = 13.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_overlapping, r"overlap; one mask cannot hold both"),
        (_other_number, r"a frame is of segment 9, which it does not describe"),
        (_no_spacing, r"PixelSpacing \(0028,0030\) is 0\.0, which cannot be"),
        (_uneven, r"slices are not evenly spaced"),
        (lambda made: made.SegmentSequence.clear(), "describes no segment"),
        (lambda made: made.PerFrameFunctionalGroupsSequence.pop(), r"says \d+ frames but describes \d+"),
        (lambda made: setattr(made, "PixelData", made.PixelData[:20]), "pixels that cannot be read"),
        (lambda made: setattr(made, "SOPClassUID", "1.2.3"), "neither a DICOM segmentation nor an RTSTRUCT"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, series: dict[str, Path], change, message: str) -> None:
    path = _changed(tmp_path, series["axial"], change)
    with pytest.raises(DataError, match=message):
        open_object(path).read()


@pytest.mark.parametrize(("most", "kind"), [(255, "PROBABILITY"), (100, "OCCUPANCY"), (1, "PROBABILITY")])
def test_fractions_of_half_and_more_are_marked(tmp_path: Path, series: dict[str, Path], most: int, kind: str) -> None:
    image = opened(series["axial"])
    found = SegmentationHandle(write_fractions(tmp_path / "f.dcm", series["axial"], most, kind))
    assert found.notes == (
        f"f.dcm holds fractions ({kind}, up to {most}): a voxel is a segment's where it has at least half of that",
    )
    assert found.drawn(image.geometry, image.path)[:4, 3, 2].tolist() == [0, 0, 1, 1]


def test_fractions_without_or_above_their_largest_are_refused(tmp_path: Path, series: dict[str, Path]) -> None:
    path = write_fractions(tmp_path / "f.dcm", series["axial"])
    dataset = pydicom.dcmread(path)
    dataset.MaximumFractionalValue = 100
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"f\.dcm: it has the fraction 255, above its MaximumFractionalValue .* of 100"):
        SegmentationHandle(path).read()
    del dataset.MaximumFractionalValue
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"f\.dcm holds fractions, but not the largest \(MaximumFractionalValue"):
        SegmentationHandle(path)


def test_other_frames_of_reference_and_marks_outside_are_refused(tmp_path: Path, series: dict[str, Path]) -> None:
    from dataclasses import replace

    image = opened(series["axial"])
    found = open_object(write_seg(tmp_path / "a.dcm", balls(SHAPE), series["axial"]))
    with pytest.raises(DataError, match="different frames of reference"):
        found.drawn(replace(image.geometry, frame="1.2.3"), image.path)
    with pytest.raises(DataError, match=r"marks voxels up to .* voxels outside of"):
        found.drawn(replace(image.geometry, origin=(50.0, -70.0, 15.0)), image.path)


def test_sources_that_no_mask_can_refer_to(tmp_path: Path, series: dict[str, Path]) -> None:
    slices = [(frame.path, frame.index) for frame in opened(series["axial"]).frames]
    other = [(frame.path, frame.index) for frame in opened(series["oblique"]).frames]
    with pytest.raises(DataError, match="2 series; a DICOM mask is of one"):
        read_sources([*slices, *other])
    with pytest.raises(DataError, match="needs the images"):
        read_sources([])
    with pytest.raises(DataError, match="named more than once"):
        read_sources([*slices, slices[0]])
    with pytest.raises(DataError, match="7 frames, none of number 8"):
        read_sources([(series["frames"], 7)])
    with pytest.raises(ValueError, match="has the shape"):
        write_segmentation(
            tmp_path / "a.dcm", np.zeros((2, 3, 4), np.uint8), read_sources(slices), default_segments([], []), MADE_BY
        )
