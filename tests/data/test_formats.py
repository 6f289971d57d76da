"""The registry of formats: who opens what, what a handle tells before it decodes, and masks written on the image's own grid."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError, DelineateError
from delineate.data.core.geometry import Geometry
from delineate.data.formats import registry
from delineate.data.formats.canonical import canonical
from delineate.data.formats.contract import ImageHandle, Reader
from delineate.data.formats.nifti import NiftiHandle
from delineate.data.formats.registry import open_image, read_geometry, read_image, read_mask, reader_of, write_mask
from delineate.data.formats.testing import check_format

nib = pytest.importorskip("nibabel")
VOXELS = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
OBLIQUE = np.array([[0, 0, -3.0, 40], [0.7, 0, 0, -5], [0, -0.9, 0, 7], [0, 0, 0, 1]])


def volume(path: Path, array: Any = VOXELS, affine: Any = OBLIQUE, kind: str = "Nifti1Image", **header: Any) -> Path:
    image = getattr(nib, kind)(array, affine)
    for key, value in header.items():
        image.header[key] = value
    content = image.to_bytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def picture(path: Path, array: Any) -> Path:
    cv2.imwrite(str(path), array)
    return path


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.PNG", "raster"), ("a.tif", "tiff"), ("A.NII.GZ", "nifti"), ("a.nii", "nifti"), ("a.h5#image.3", "packed")],
)
def test_names_tell_formats(name: str, format: str) -> None:
    assert reader_of(Path(name)).name == format


def test_content_tells_where_the_name_does_not(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", np.eye(5, dtype=np.uint8))
    bare = tmp_path / "picture"
    bare.write_bytes(source.read_bytes())
    assert np.array_equal(open_image(bare).read(), np.eye(5))
    (tmp_path / "notes").write_text("none")
    with pytest.raises(DataError, match="notes is not an image that can be read"):
        open_image(tmp_path / "notes")
    with pytest.raises(DataError, match=r"cannot read .*a\.dcm: No such file"):
        open_image(tmp_path / "a.dcm")


def test_suffixes_are_those_of_the_formats() -> None:
    assert registry.image_suffix(Path("a.b.TIFF")) == ".tiff"
    assert registry.volume_suffix(Path("a.nii.gz")) == ".nii.gz"
    assert registry.volume_suffix(Path("a.dcm")) == ".dcm"
    assert not registry.reads_volume(Path("a.dcm"))
    assert not registry.reads_volume(Path("a.npz"))
    assert registry.image_suffix(Path("a.txt")) == registry.image_suffix(Path(".png")) == ""


def test_a_picture_is_one_slice(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 4, 3), np.uint8)
    handle = open_image(picture(tmp_path / "a.png", pixels))
    assert (handle.shape, handle.dtype, handle.channels) == ((6, 4), np.uint8, ("red", "green", "blue"))
    assert handle.depth(2) == 1
    assert handle.geometry is None
    assert np.array_equal(handle.slice(0, 0), read_image(tmp_path / "a.png"))
    assert np.array_equal(handle.window(2, 1, 3, 2), handle.read()[2:5, 1:3])
    with pytest.raises(IndexError, match="one slice"):
        handle.slice(0, 1)


def test_the_limit_of_pixels_holds_before_decoding(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", np.zeros((30, 40), np.uint8))
    damaged = tmp_path / "b.png"
    damaged.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"b\.png has 40×30 pixels, above the limit of 0\.001 megapixels"):
        open_image(damaged, max_pixels=1000)
    handle = open_image(damaged)
    assert handle.shape == (30, 40)
    with pytest.raises(DataError, match=r"b\.png is damaged"):
        handle.read()


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("slope", [None, 0.5])
def test_slices_equal_those_of_the_whole(tmp_path: Path, name: str, kind: str, slope: float | None) -> None:
    scaling = {} if slope is None else {"scl_slope": slope, "scl_inter": 3}
    path = volume(tmp_path / name, VOXELS.astype(np.dtype(">i2")), kind=kind)
    content = bytearray(gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes())
    if slope is not None:
        header = getattr(nib, kind.replace("Image", "Header"))(
            bytes(content[: 348 if "1" in kind else 540]), check=False
        )
        for key, value in scaling.items():
            header[key] = value
        content[: len(header.binaryblock)] = header.binaryblock
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    handle, whole = open_image(path), open_image(path).read()
    assert handle.shape == (2, 3, 4)
    assert handle.dtype == whole.dtype == (np.int16 if slope is None else np.float64)
    assert np.array_equal(whole, VOXELS if slope is None else VOXELS * slope + 3)
    for axis in range(3):
        for index in range(handle.depth(axis)):
            plane = handle.slice(axis, index)
            assert plane.dtype == whole.dtype
            assert np.array_equal(plane, whole.take(index, axis))
    with pytest.raises(IndexError, match="has 4 slices across axis 2, none of number 4"):
        handle.slice(2, 4)


def test_one_slice_of_an_unpacked_volume_reads_that_slice_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = volume(tmp_path / "a.nii", VOXELS[..., None])
    monkeypatch.setattr(NiftiHandle, "read", lambda _: pytest.fail("read as a whole"))
    assert np.array_equal(open_image(path).slice(2, 1), VOXELS[..., 1])
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"a\.nii is damaged or truncated"):
        open_image(path).slice(2, 3)


def test_the_canonical_view_and_its_masks(tmp_path: Path) -> None:
    """The file's axes go to the front, to the feet and to the left."""
    path = volume(tmp_path / "a.nii.gz")
    handle = canonical(open_image(path))
    assert handle.shape == (4, 2, 3)
    whole = handle.read()
    assert np.array_equal(whole, np.flip(VOXELS.transpose(2, 0, 1), (0, 2)))
    for axis in range(3):
        assert np.array_equal(handle.slice(axis, 1), whole.take(1, axis))
    assert np.array_equal(handle.labels().pixels, whole)
    mask = (whole > 9).astype(np.uint8)
    write_mask(tmp_path / "mask.nii.gz", mask, like=handle)
    back = nib.load(tmp_path / "mask.nii.gz")
    assert np.array_equal(np.asanyarray(back.dataobj), VOXELS > 9)
    assert np.array_equal(back.affine, nib.load(path).affine), "bit for bit"


def test_masks_of_many_classes_need_sixteen_bits(tmp_path: Path) -> None:
    mask = VOXELS.astype(np.uint16) * 1000
    write_mask(tmp_path / "mask.nii", mask, like=open_image(volume(tmp_path / "a.nii.gz")))
    assert np.array_equal(registry.read_mask(tmp_path / "mask.nii"), mask)


@pytest.mark.parametrize("sheared", [False, True])
def test_a_geometry_alone_is_enough_for_a_mask(tmp_path: Path, sheared: bool) -> None:
    affine = OBLIQUE.copy()
    affine[1, 2] = 0.8 if sheared else 0
    write_mask(tmp_path / "m.nii.gz", (VOXELS > 3).astype(np.uint8), like=Geometry.of_ras(affine, (2, 3, 4)))
    back = nib.load(tmp_path / "m.nii.gz")
    assert np.allclose(back.affine, affine, atol=1e-5)
    assert (int(back.header["sform_code"]), int(back.header["qform_code"])) == (1, 0 if sheared else 1)
    assert np.allclose(read_geometry(tmp_path / "m.nii.gz").to_ras(), affine, atol=1e-5)


def test_masks_go_where_their_names_say(tmp_path: Path) -> None:
    mask = np.eye(5, dtype=np.uint8)
    like = open_image(picture(tmp_path / "a.png", mask * 200))
    write_mask(tmp_path / "mask.png", mask, like=like)
    assert np.array_equal(read_mask(tmp_path / "mask.png"), mask)
    with pytest.raises(ValueError, match=r"the shape \(5, 5\) of its image"):
        write_mask(tmp_path / "mask.png", mask[:4], like=like)
    with pytest.raises(
        DataError, match=r"mask\.bmp; its name must end in \.png, \.tif, \.tiff, \.nii\.gz, \.nii, \.mha, \.nrrd"
    ):
        write_mask(tmp_path / "mask.bmp", mask)
    with pytest.raises(DataError, match="cannot be written as 'npy'; there are raster, tiff, nifti, itk"):
        registry.writer_of("npy")
    with pytest.raises(ValueError, match="where its voxels lie"):
        write_mask(tmp_path / "mask.nii.gz", mask, like=like)


def test_a_packed_file_is_opened_by_its_addresses(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=VOXELS.astype(np.uint8), label=VOXELS.astype(np.uint8))
    handle = open_image(tmp_path / "a.npz#image.1")
    assert (handle.shape, handle.channels) == ((3, 4), ("gray",))
    assert np.array_equal(handle.read(), VOXELS[1])
    with pytest.raises(
        DataError, match=r"a\.npz is a packed file with the arrays image, label: give one, such as .*#image"
    ):
        open_image(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.nii", "a.nii.gz"])
def test_our_formats_keep_the_promises(tmp_path: Path, name: str) -> None:
    (tmp_path / "scratch").mkdir()
    if reader_of(Path(name)).kind == "volume":
        file = volume(tmp_path / name, np.random.default_rng(0).integers(0, 999, (6, 5, 4)).astype(np.int16))
    else:
        file = picture(tmp_path / name, np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8))
    check_format(reader_of(file).name, file, tmp_path / "scratch")


class Foreign(Reader):
    name = "foreign"
    suffixes = (".png",)

    def open(self, path: Path, *, max_pixels: int = 0) -> ImageHandle:
        raise NotImplementedError


class Shouting(Foreign):
    name = "shouting"
    suffixes = (".RAW",)


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Registers a format under a name, as an entry point would."""

    def register(name: str, thing: str) -> None:
        monkeypatch.setitem(
            registry.FORMATS.__dict__, "built_in", {**registry.FORMATS.built_in, name: f"{__name__}:{thing}"}
        )
        monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
        registry.forget_other_packages()

    yield register
    monkeypatch.undo()
    registry.forget_other_packages()


@pytest.mark.parametrize(
    ("name", "thing", "words"),
    [
        ("foreign", "Foreign", r"'foreign' \(.*:Foreign\) reads \.png, as 'raster' does"),
        ("other", "Foreign", "'other' .* calls itself 'foreign'"),
        ("shouting", "Shouting", r"the suffix '\.RAW', which is not in lower case"),
        ("number", "VOXELS", r"'number' .* is not a subclass of .*contract\.Reader"),
    ],
)
def test_a_format_that_cannot_be_used_is_named(plug: Any, name: str, thing: str, words: str) -> None:
    plug(name, thing)
    with pytest.raises(DelineateError, match=words):
        reader_of(Path("a.nii"))
