"""RTSTRUCT: outlines on the edges of pixels come back voxel by voxel, by two fillings; what is not clear is refused."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("pydicom")

import pydicom
from skimage.draw import polygon2mask

from delineate.common.errors import DataError
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.other_readers import by_opencv
from delineate.data.formats.dicom_masks.outlines import fill_polygon, trace_region
from dicom_results import NAMES, balls, opened, write_rtstruct
from scanner import ID, NAME, noise, oblique, write_enhanced, write_series

SHAPE = (14, 11, 7)


@settings(max_examples=60)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_region_comes_back(region: np.ndarray) -> None:
    filled = np.zeros_like(region)
    for polygon in trace_region(region):
        part = fill_polygon(polygon, region.shape)
        assert not (filled & part).any()
        filled |= part
    assert np.array_equal(filled, region)


def test_holes_are_cut_in_and_areas_are_exact() -> None:
    region = np.zeros((20, 30), bool)
    region[2:18, 3:27] = True
    region[5:9, 6:10] = region[12:15, 6:20] = False
    (polygon,) = trace_region(region)
    x, y = polygon.T
    area = abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
    assert area == region.sum()
    assert np.array_equal(polygon2mask(region.shape, polygon[:, ::-1]), region)


def test_dice_at_512_by_two_ways(tmp_path: Path) -> None:
    series = write_series(tmp_path / "ct", noise((512, 512, 3)), direction=oblique(), spacing=(0.6, 0.6, 3.0))
    mask = balls((512, 512, 3))
    mask[200:220, 150:400, 1] = 0  # holes
    image = opened(series)
    path = write_rtstruct(tmp_path / "r.dcm", mask, series)
    for found in (open_object(path).drawn(image.geometry, series), by_opencv(path, image.geometry)):
        for index in (1, 2, 3):
            both = np.count_nonzero((found == index) & (mask == index))
            assert 2 * both / (np.count_nonzero(found == index) + np.count_nonzero(mask == index)) >= 0.999
    assert np.array_equal(open_object(path).drawn(image.geometry, series), mask)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("series")
    return {
        "axial": write_series(folder / "axial", noise(SHAPE)),
        "tilted": write_series(folder / "tilted", noise(SHAPE), step=np.array([0.0, 0.6, 2.5])),
        "frames": write_enhanced(folder / "frames.dcm", noise(SHAPE), order=[3, 1, 0, 5, 6, 4, 2], direction=oblique()),
    }


@pytest.mark.parametrize("what", ["axial", "tilted", "frames"])
def test_what_is_written_is_read_at_the_same_place(tmp_path: Path, series: dict[str, Path], what: str) -> None:
    image = opened(series[what])
    mask = np.random.default_rng(2).integers(0, 4, SHAPE).astype(np.uint8)
    found = open_object(write_rtstruct(tmp_path / "a.dcm", mask, series[what]))
    assert np.array_equal(found.drawn(image.geometry, image.path), mask)
    assert found.names == dict(enumerate(NAMES, 1))
    assert found.references.fits(image.frames[0].header.series, {frame.header.instance for frame in image.frames})
    assert set(np.unique(found.read())) == {0, 1, 2, 3}


def test_nothing_found_and_the_patient(tmp_path: Path, series: dict[str, Path]) -> None:
    image = opened(series["axial"])
    path = write_rtstruct(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), series["axial"])
    assert not open_object(path).drawn(image.geometry, image.path).any()
    made = pydicom.dcmread(path)
    assert (made.PatientName, made.PatientID, made.Modality) == (NAME, ID, "RTSTRUCT")
    assert [item.ROIName for item in made.StructureSetROISequence] == list(NAMES)
    assert made.ApprovalStatus == "UNAPPROVED"


def _edited(tmp_path: Path, series: Path, change) -> Path:
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:8, 3:8, 2] = 1
    made = pydicom.dcmread(write_rtstruct(tmp_path / "a.dcm", mask, series))
    change(made)
    made.save_as(tmp_path / "b.dcm")
    return tmp_path / "b.dcm"


def _contour(made: pydicom.Dataset) -> pydicom.Dataset:
    return made.ROIContourSequence[0].ContourSequence[0]


def _shift(axis: int, by: float):
    def change(made: pydicom.Dataset) -> None:
        points = np.array(_contour(made).ContourData, float).reshape(-1, 3)
        points[:, axis] += by
        _contour(made).ContourData = [f"{value:.4f}" for value in points.ravel()]

    return change


def _crossing(made: pydicom.Dataset) -> None:
    second = deepcopy(_contour(made))
    points = np.array(second.ContourData, float).reshape(-1, 3) + np.array([1.6, 0, 0])
    second.ContourData = [f"{value:.4f}" for value in points.ravel()]
    made.ROIContourSequence[0].ContourSequence.append(second)


def _overlapping(made: pydicom.Dataset) -> None:
    made.ROIContourSequence[1].ContourSequence = made.ROIContourSequence[0].ContourSequence


def test_a_region_of_number_0_has_the_number_behind_the_largest(tmp_path: Path, series: dict[str, Path]) -> None:
    def change(made: pydicom.Dataset) -> None:
        made.StructureSetROISequence[0].ROINumber = 0
        made.ROIContourSequence[0].ReferencedROINumber = 0
        made.RTROIObservationsSequence[0].ReferencedROINumber = 0

    found = open_object(_edited(tmp_path, series["axial"], change))
    assert found.names == {2: NAMES[1], 3: NAMES[2], 4: NAMES[0]}
    image = opened(series["axial"])
    drawn = found.drawn(image.geometry, image.path)
    assert set(np.unique(drawn)) == {0, 4}
    assert found.codes[4].type.meaning == "Liver"
    assert found.notes == ("b.dcm has a region of number 0, which is read as 4, since 0 is background",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_shift(0, 200.0), r"leaves .*: a contour lies .* voxels outside"),
        (_shift(2, 100.0), r"leaves .*: a contour lies .* voxels outside"),
        (_shift(2, 1.0), r"a contour lies 0\.4 slices off slice 2"),
        (_crossing, "cross each other in one slice"),
        (_overlapping, "the regions 'liver' and 'left kidney' overlap"),
        (lambda made: setattr(_contour(made), "ContourData", ["1", "2", "3", "4"]), "has 4 numbers"),
        (lambda made: made.StructureSetROISequence.clear(), "names no region"),
        (lambda made: setattr(made.ROIContourSequence[0], "ReferencedROINumber", 7), "contours of the region 7"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path: Path, series: dict[str, Path], change, message: str) -> None:
    image = opened(series["axial"])
    path = _edited(tmp_path, series["axial"], change)
    with pytest.raises(DataError, match=message):
        open_object(path).drawn(image.geometry, image.path)


def test_numbers_that_are_none_are_refused(tmp_path: Path, series: dict[str, Path]) -> None:
    path = _edited(tmp_path, series["axial"], lambda made: None)
    content = path.read_bytes()
    at = content.index(b"\\", content.index(b"CLOSED_PLANAR"))
    (tmp_path / "c.dcm").write_bytes(content[: at + 1] + b"nan\\" + content[at + 5 :])
    with pytest.raises(DataError, match="ContourData"):
        open_object(tmp_path / "c.dcm")


def test_inner_contours_are_holes_and_points_are_left_out(tmp_path: Path, series: dict[str, Path]) -> None:
    def change(made: pydicom.Dataset) -> None:
        outer = _contour(made)
        points = np.array(outer.ContourData, float).reshape(-1, 3)
        for kind, scale in (("CLOSED_PLANAR", 0.2), ("POINT", 0.0)):
            inner = deepcopy(outer)
            inner.ContourGeometricType = kind
            inner.ContourData = [
                f"{value:.4f}" for value in (points.mean(0) + scale * (points - points.mean(0))).ravel()
            ]
            made.ROIContourSequence[0].ContourSequence.append(inner)

    image = opened(series["axial"])
    found = open_object(_edited(tmp_path, series["axial"], change))
    drawn = found.drawn(image.geometry, image.path)
    assert drawn.sum() == 24
    assert drawn[5, 5, 2] == 0
    assert "POINT" in found.notes[0]


def test_another_frame_of_reference_is_refused(tmp_path: Path, series: dict[str, Path]) -> None:
    image = opened(series["axial"])
    path = _edited(tmp_path, series["axial"], lambda made: None)
    with pytest.raises(DataError, match="different frames of reference"):
        open_object(path).drawn(replace(image.geometry, frame="1.2.3"), image.path)
