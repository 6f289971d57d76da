"""Series of DICOM slices: sorted by position, values and places as another reader has them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.canonical import canonical
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.registry import open_image, reader_of, reads_volume
from scanner import noise, oblique, write_enhanced, write_series

pytest.importorskip("pydicom")
VOXELS = noise()


def one_address(folder: Path) -> Path:
    (found,) = scan(folder).addresses
    return found


def test_slices_are_sorted_by_position_not_by_name(tmp_path: Path) -> None:
    handle = open_image(write_series(tmp_path / "a", VOXELS))
    assert np.array_equal(handle.read(), VOXELS)
    assert handle.shape == VOXELS.shape
    assert handle.dtype == np.int32 or handle.dtype == np.int16
    assert handle.modality == "CT"


@pytest.mark.parametrize("direction", [np.eye(3), oblique(), oblique()[:, [1, 0, 2]] * [1, 1, -1]])
def test_places_are_those_of_the_header(tmp_path: Path, direction: np.ndarray) -> None:
    handle = open_image(write_series(tmp_path / "a", VOXELS, direction=direction))
    grid = handle.geometry
    assert grid is not None
    np.testing.assert_allclose(grid.spacing, (0.8, 0.7, 2.5), atol=1e-4)
    np.testing.assert_allclose(grid.direction, direction, atol=1e-5)
    np.testing.assert_allclose(grid.origin, (-90, -70, 15), atol=1e-4)
    assert len(grid.sources) == VOXELS.shape[2]
    assert np.array_equal(handle.read(), VOXELS)


def test_another_reader_agrees(tmp_path: Path) -> None:
    package = pytest.importorskip("SimpleITK")
    folder = write_series(tmp_path / "a", VOXELS, direction=oblique(), slope=2, intercept=-1024)
    files = package.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    other = package.ReadImage(files)
    handle = open_image(folder)
    assert np.array_equal(package.GetArrayFromImage(other).T, handle.read())
    assert handle.geometry is not None
    np.testing.assert_allclose(other.GetOrigin(), handle.geometry.origin, atol=1e-4)
    np.testing.assert_allclose(other.GetSpacing(), handle.geometry.spacing, atol=1e-4)
    np.testing.assert_allclose(np.reshape(other.GetDirection(), (3, 3)), handle.geometry.direction, atol=1e-4)


def test_each_slice_has_its_own_scale(tmp_path: Path) -> None:
    handle = open_image(write_series(tmp_path / "a", VOXELS, slope=lambda at: 0.5 + 0.25 * at, modality="PT"))
    assert handle.dtype == np.float32
    wanted = VOXELS * (0.5 + 0.25 * np.arange(VOXELS.shape[2]))
    np.testing.assert_allclose(handle.read(), wanted, rtol=1e-5)
    np.testing.assert_allclose(handle.slice(2, 3), wanted[:, :, 3], rtol=1e-5)
    np.testing.assert_allclose(handle.slice(0, 2), wanted[2], rtol=1e-5)


def test_frames_of_an_enhanced_file_are_sorted_and_scaled(tmp_path: Path) -> None:
    order = [3, 0, 6, 1, 5, 2, 4]
    file = write_enhanced(tmp_path / "e.dcm", VOXELS, order=order, direction=oblique(), slope=lambda at: 1.0 + at)
    handle = open_image(file)
    assert [frame.index for frame in handle.frames] == [order.index(at) for at in range(7)]
    np.testing.assert_allclose(handle.read(), VOXELS * (1.0 + np.arange(7)))
    np.testing.assert_allclose(handle.geometry.direction, oblique(), atol=1e-5)


def test_masks_go_to_frames_and_back(tmp_path: Path) -> None:
    handle = open_image(write_series(tmp_path / "a", VOXELS))
    planes = handle.as_frames(VOXELS)
    assert planes.shape == (7, 9, 11)
    assert np.array_equal(planes[2], VOXELS[:, :, 2].T)
    assert np.array_equal(handle.from_frames(planes), VOXELS)


def test_an_address_names_one_of_several_series(tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "a", VOXELS, series="a")
    write_series(tmp_path / "study" / "a", 2 * VOXELS, series="b", suffix=".b")
    write_series(tmp_path / "study" / "c", VOXELS[:, :, :3], series="c")
    found = scan(tmp_path / "study")
    assert sorted(len(series.frames) for _, series in found.series) == [3, 7, 7]
    assert all(reader_of(at).name == "dicom" and reads_volume(at) for at in found.addresses)
    sums = {int(open_image(at).read().sum()) for at in found.addresses}
    assert sums == {int(VOXELS.sum()), 2 * int(VOXELS.sum()), int(VOXELS[:, :, :3].sum())}
    with pytest.raises(DataError, match=r"holds 2 DICOM images; give the address of one: .*#series-"):
        open_image(tmp_path / "study" / "a")
    with pytest.raises(DataError, match="is not there; there are "):
        open_image(tmp_path / "study" / "c#series-0123456789")


def test_the_canonical_order_is_that_of_nifti(tmp_path: Path) -> None:
    seen = canonical(open_image(write_series(tmp_path / "a", VOXELS)))
    assert np.array_equal(seen.read(), VOXELS[::-1, ::-1])
    assert seen.modality == "CT"
    assert np.array_equal(seen.stored.frames[0].header.rows, 9)
