"""DICOM masks by their addresses: on the grid of the images that they are of, voxel by voxel, or refused in a line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import pydicom

from delineate.common.errors import DataError
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.objects import mask_objects
from delineate.data.formats.dicom_masks.on_series import mapped
from delineate.data.formats.dicom_masks.segmentation import write_segmentation
from delineate.data.formats.dicom_masks.sources import read_sources
from delineate.data.formats.registry import check_same_grid, digest_of, open_image, read_geometry, read_raw_labels
from dicom_results import MADE_BY, balls, opened, segments, write_rtstruct, write_seg
from scanner import noise, oblique, patient, save, set_pixels, write_series

SHAPE = (14, 11, 7)
TILTED = np.array([0.0, 0.6, 2.5])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three series of one study, and masks of each in a folder of their own, whose names tell nothing."""
    folder = tmp_path_factory.mktemp("a") / "b" / "study"
    write_series(folder / "axial", noise(SHAPE))
    write_series(folder / "oblique", noise(SHAPE), direction=oblique())
    write_series(folder / "tilted", noise(SHAPE), step=TILTED)
    (folder / "masks").mkdir()
    for at, series in enumerate(("axial", "oblique", "tilted")):
        write_seg(folder / "masks" / f"{at}_binary.dcm", balls(SHAPE), folder / series)
        write_seg(folder / "masks" / f"{at}_labelmap.dcm", balls(SHAPE), folder / series, "labelmap")
        write_rtstruct(folder / "masks" / f"{at}_rtstruct.dcm", balls(SHAPE), folder / series)
    return folder


def key_of(series: Path) -> str:
    return opened(series).series.key


@pytest.mark.parametrize("kind", ["binary", "labelmap", "rtstruct"])
@pytest.mark.parametrize(("at", "series"), [(0, "axial"), (1, "oblique"), (2, "tilted")])
def test_the_mask_is_the_class_volume(study: Path, at: int, series: str, kind: str) -> None:
    file = study / "masks" / f"{at}_{kind}.dcm"
    address = Path(str(MaskAddress(file, key_of(study / series))))
    found, image = open_image(address), opened(study / series)
    assert found.shape == image.shape
    assert found.modality == "CT"
    assert np.array_equal(found.read(), balls(SHAPE))
    assert np.array_equal(read_raw_labels(address).pixels, balls(SHAPE))
    assert np.array_equal(found.slice(1, 4), balls(SHAPE)[:, 4])
    check_same_grid(address, image.path)
    grid = read_geometry(address)
    assert grid is not None
    assert np.allclose(grid.corners(), image.geometry.corners())


@pytest.mark.parametrize("kind", ["binary", "labelmap", "rtstruct"])
def test_values_are_mapped_and_others_are_background(study: Path, kind: str) -> None:
    file = study / "masks" / f"0_{kind}.dcm"
    expected = np.choose(balls(SHAPE), [0, 2, 0, 7]).astype(np.uint8)
    on_series = Path(str(MaskAddress(file, key_of(study / "axial"), {1: 2, 3: 7})))
    assert np.array_equal(open_image(on_series).read(), expected)
    alone = MaskAddress(file, None, {1: 2, 3: 7})
    assert set(np.unique(open_image(Path(str(alone))).read())) == {0, 2, 7}


def test_a_mask_on_its_own_grid_is_drawn_where_it_lies(study: Path) -> None:
    image = opened(study / "oblique")
    for kind in ("binary", "labelmap", "rtstruct"):
        found = open_image(Path(str(MaskAddress(study / "masks" / f"1_{kind}.dcm", None, {2: 1}))))
        assert np.array_equal(found.drawn(image.geometry, image.path), balls(SHAPE) == 2)


def test_digests_tell_addresses_apart(study: Path) -> None:
    file = study / "masks" / "0_binary.dcm"
    key = key_of(study / "axial")
    addresses = [
        MaskAddress(file),
        MaskAddress(file, key),
        MaskAddress(file, key, {1: 2}),
        MaskAddress(file, key, {1: 3}),
    ]
    digests = [digest_of(Path(str(address))) for address in addresses]
    assert len(set(digests)) == 4
    assert digests == [digest_of(Path(str(address))) for address in addresses]


def test_masks_are_found_by_their_headers(study: Path) -> None:
    assert mask_objects(study) == []
    assert len(mask_objects(study, deep=True)) == 9


def test_a_mask_far_from_its_images_is_refused(study: Path, tmp_path: Path) -> None:
    far = tmp_path / "x" / "y" / "z" / "mask.dcm"
    far.parent.mkdir(parents=True)
    for kind in ("binary", "rtstruct"):
        shutil.copy(study / "masks" / f"0_{kind}.dcm", far)
        address = Path(str(MaskAddress(far, key_of(study / "axial"))))
        with pytest.raises(
            DataError, match=r"mask\.dcm is a mask of a series that is not in its folder or the ones above"
        ):
            open_image(address)
    shutil.copytree(study / "axial", tmp_path / "x" / "ct")
    assert np.array_equal(open_image(address).read(), balls(SHAPE))


def test_the_address_of_another_series_is_refused(study: Path) -> None:
    """Of the same shape and study: UIDs tell it."""
    address = MaskAddress(study / "masks" / "0_binary.dcm", key_of(study / "oblique"))
    with pytest.raises(DataError, match="is a mask of a series that is not in its folder"):
        open_image(Path(str(address)))


def test_a_file_that_is_no_mask_is_refused(study: Path) -> None:
    file = next((study / "axial").iterdir())
    with pytest.raises(DataError, match="is neither a DICOM segmentation nor an RTSTRUCT"):
        open_image(Path(str(MaskAddress(file, "0123456789"))))


def of_picture(folder: Path) -> tuple[Path, Path, np.ndarray]:
    """A picture without positions, a mask of it, and the mask's values."""
    image = patient("dx", "DX", "DigitalXRayImageStorageForPresentation")
    set_pixels(image, np.arange(130, dtype=np.uint16).reshape(10, 13))
    path = save(image, folder / "s" / "t" / "X1", folder)
    mask = np.zeros((1, 10, 13), np.uint8)
    mask[0, 2:5, 3:9] = 1
    write_segmentation(path.parent / "m.dcm", mask, read_sources([(path, 0)]), segments(("lung",)), MADE_BY)
    return path, path.parent / "m.dcm", mask[0]


def test_a_mask_of_a_picture(tmp_path: Path) -> None:
    path, file, mask = of_picture(tmp_path)
    assert np.array_equal(open_image(Path(str(MaskAddress(file, key_of(path))))).read(), mask)


def test_other_rows_than_the_picture_are_refused(tmp_path: Path) -> None:
    path, file, _ = of_picture(tmp_path)
    changed = pydicom.dcmread(path)
    set_pixels(changed, np.zeros((12, 13), np.uint16))
    changed.save_as(path)
    with pytest.raises(DataError, match=r"m\.dcm has other rows or columns than its image .*X1#image-"):
        open_image(Path(str(MaskAddress(file, key_of(path))))).read()


def test_marks_outside_of_the_images_are_refused(study: Path, tmp_path: Path) -> None:
    """Images that were cropped after the mask was made, under the same UIDs."""
    folder = tmp_path / "u" / "v"
    shutil.copytree(study / "axial", folder / "ct")
    for kind in ("binary", "rtstruct"):
        shutil.copy(study / "masks" / f"0_{kind}.dcm", folder / f"{kind}.dcm")
    for file in (folder / "ct").iterdir():
        slice_ = pydicom.dcmread(file)
        set_pixels(slice_, slice_.pixel_array[:5])
        slice_.save_as(file)
    key = key_of(folder / "ct")
    with pytest.raises(DataError, match=r"binary\.dcm marks voxels up to .* voxels outside of"):
        open_image(Path(str(MaskAddress(folder / "binary.dcm", key)))).read()
    with pytest.raises(DataError, match=r"rtstruct\.dcm leaves .*: a contour lies"):
        open_image(Path(str(MaskAddress(folder / "rtstruct.dcm", key)))).read()


names = st.text("abc/_-. #:=,0", min_size=1, max_size=12).filter(lambda name: "#mask" not in name)
tables = st.dictionaries(st.integers(0, 65535), st.integers(0, 65535), max_size=5)


@settings(max_examples=40, deadline=None)
@given(names.map(Path), st.none() | st.text("0123456789abcdef", min_size=10, max_size=10), tables, st.none() | names)
def test_addresses_come_back(file: Path, series: str | None, values: dict[int, int], images: str | None) -> None:
    known = images is not None and series is not None and not file.is_absolute() and not images.startswith("/")
    place = Path(os.path.normpath(str(images))) if known else None
    address = MaskAddress(file, series, values, place)
    assert MaskAddress.parse(str(address)) == address
    assert MaskAddress.parse(file) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=20), tables.filter(bool))
def test_mapping_is_as_the_table_says(values: list[int], table: dict[int, int]) -> None:
    found = mapped(np.array(values, np.uint8), table)
    assert found.tolist() == [table.get(value, 0) for value in values]
