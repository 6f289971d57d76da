"""Legal files that few programs write: each is read right, or refused in one line that says what to do."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.api import evaluate
from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import check_same_grid, open_image, read_geometry, read_raw_labels, write_mask
from delineate.data.layouts.discover import discover
from delineate.inference.files import predict_files
from delineate.inference.inputs import expand
from delineate.inference.predictor import Predictor
from micro_method import brightness

nib = pytest.importorskip("nibabel")
VOXELS = np.random.default_rng(0).integers(-900, 900, (9, 8, 7)).astype(np.int16)
AFFINE = np.array([[-0.7, 0, 0, 10], [0, 0.8, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
PIXDIM, SLOPE, CODES = 76, 112, 252
"""Where the numbers lie in a header of NIfTI-1."""


def save(
    path: Path, array: Any = VOXELS, *edits: tuple[int, str, Any], kind: Any = nib.Nifti1Image, **how: Any
) -> Path:
    """A NIfTI file, numbers of its header replaced."""
    header = how.pop("header", None)
    image = kind(array, AFFINE, header, dtype=np.asarray(array).dtype if header is None else None)
    image.header.set_sform(AFFINE, 1)
    image.header.set_qform(AFFINE, 1)
    image.header.set_xyzt_units(how.pop("unit", "mm"))
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    for at, form, values in edits:
        struct.pack_into(f"<{form}", content, at, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("edit", "flipped", "noted"),
    [
        ((CODES, "hh", (0, 1)), False, False),
        ((CODES, "hh", (1, 0)), False, False),
        ((CODES, "hh", (0, 0)), None, True),
        ((PIXDIM, "f", (0.0,)), False, False),
    ],
    ids=["sform", "qform", "neither", "no handedness beside sform"],
)
def test_directions_are_those_that_are_stated(
    tmp_path: Path, edit: tuple[int, str, Any], flipped: bool | None, noted: bool
) -> None:
    handle = open_image(save(tmp_path / "a.nii", VOXELS, edit))
    assert np.array_equal(handle.read(), VOXELS)
    assert any("does not tell where its axes go" in note for note in handle.notes) == noted
    if flipped is not None:
        assert np.allclose(handle.geometry.to_ras(), AFFINE, atol=1e-6)


def test_a_qform_without_handedness_is_right_handed(tmp_path: Path) -> None:
    """NIfTI's rule for a `pixdim[0]` of 0."""
    path = save(tmp_path / "a.nii", VOXELS, (PIXDIM, "f", (0.0,)), (CODES, "hh", (1, 0)))
    mirrored = AFFINE.copy()
    mirrored[:3, 2] *= -1
    assert np.allclose(read_geometry(path).to_ras(), mirrored, atol=1e-6)


@pytest.mark.parametrize(("unit", "millimeters"), [("micron", 1e-3), ("meter", 1e3), ("unknown", 1.0), ("mm", 1.0)])
def test_units(tmp_path: Path, unit: str, millimeters: float) -> None:
    grid = read_geometry(save(tmp_path / "a.nii.gz" if unit == "mm" else tmp_path / "a.nii", unit=unit))
    assert np.allclose(grid.spacing, np.array([0.7, 0.8, 2.5]) * millimeters)
    assert np.allclose(grid.origin, np.array([-10, 20, 30]) * millimeters)


@pytest.mark.parametrize(
    ("numbers", "factor"), [((0, 0), 1), ((0, 5), 1), ((float("nan"), float("nan")), 1), ((2, -1024), 2)]
)
def test_scalings(tmp_path: Path, numbers: tuple[float, float], factor: int) -> None:
    found = open_image(save(tmp_path / "a.nii", VOXELS, (SLOPE, "ff", numbers))).read()
    assert np.array_equal(found, VOXELS if factor == 1 else VOXELS * 2.0 - 1024)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", ">i2", ">u2", "u4", "i8", "u8", "f4", ">f4", ">f8"])
def test_images_and_labels_of_every_type_and_order(tmp_path: Path, kind: str) -> None:
    marked = (VOXELS > 500).astype(np.uint8) + (VOXELS > 800)
    header = nib.Nifti1Header(endianness=">" if kind.startswith(">") else "<")
    header.set_data_dtype(np.dtype(kind))
    path = save(tmp_path / "a.nii", marked.astype(kind), header=header)
    handle = open_image(path)
    assert handle.read().dtype == handle.slice(2, 1).dtype == handle.dtype == np.dtype(kind).newbyteorder("=")
    assert np.array_equal(read_raw_labels(path).pixels, marked)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (VOXELS.astype(np.complex64), "complex64 voxels; only single numbers"),
        (np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")]), r"colors \(R, G, B\); only single numbers"),
        (np.stack([VOXELS] * 3, -1)[:, :, :, None], "holds 3 volumes"),
    ],
    ids=["complex", "RGB", "vectors"],
)
def test_what_is_no_single_number_is_said(tmp_path: Path, array: Any, words: str) -> None:
    for use in (lambda path: open_image(path).read(), read_raw_labels):
        with pytest.raises(DataError, match=rf"a\.nii\.gz .*{words}") as caught:
            use(save(tmp_path / "a.nii.gz", array))
        assert "\n" not in str(caught.value)


def test_axes_of_one(tmp_path: Path) -> None:
    assert open_image(save(tmp_path / "a.nii", VOXELS[..., None, None])).shape == VOXELS.shape
    assert open_image(save(tmp_path / "b.nii", VOXELS[:, :, :1])).shape == (9, 8, 1)


def test_files_whose_packing_and_name_disagree(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii")
    sound = path.read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(sound)
    (tmp_path / "c.nii").write_bytes(gzip.compress(sound))
    (tmp_path / "d.nii.gz").write_bytes(gzip.compress(sound[:400]) + gzip.compress(sound[400:]) + b"\0" * 64)
    (tmp_path / "e.nii.gz").write_bytes(gzip.compress(sound) + b"more")
    with pytest.raises(DataError, match=r"b\.nii\.gz is not packed with gzip, .* rename it to b\.nii$"):
        open_image(tmp_path / "b.nii.gz")
    with pytest.raises(DataError, match=r"c\.nii is packed with gzip, .* rename it to c\.nii\.gz$"):
        open_image(tmp_path / "c.nii")
    assert np.array_equal(open_image(tmp_path / "d.nii.gz").read(), VOXELS)
    with pytest.raises(DataError, match=r"e\.nii\.gz is damaged"):
        open_image(tmp_path / "e.nii.gz").read()


@pytest.mark.parametrize("name", ["A.NII", "two words ü.nii.gz", "B.NII.GZ"])
def test_names(tmp_path: Path, name: str) -> None:
    save(tmp_path / "a.nii").rename(tmp_path / "plain")
    content = (tmp_path / "plain").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith("z") else content)
    (tmp_path / f"link {name}").symlink_to(tmp_path / name)
    for path in (tmp_path / name, tmp_path / f"link {name}"):
        assert np.array_equal(open_image(path).read(), VOXELS)


@pytest.mark.parametrize("suffix", [".MHA", ".NRRD"])
def test_itk_reads_names_in_capitals(tmp_path: Path, suffix: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(tmp_path / f"a{suffix.lower()}"))
    (tmp_path / f"a{suffix.lower()}").rename(tmp_path / f"b{suffix}")
    assert open_image(tmp_path / f"b{suffix}").read().shape == (7, 8, 9)


def test_pairs_of_files_are_told(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Pair(VOXELS, AFFINE), tmp_path / folder / "a.hdr")
    words = r"volumes in two files \(\.hdr and \.img\) are not read: convert them to \.nii\.gz"
    tries: list[Callable[[], object]] = [
        lambda: open_image(tmp_path / "images/a.img"),
        lambda: discover(tmp_path),
        lambda: expand([str(tmp_path / "images")]),
    ]
    for use in tries:
        with pytest.raises(DataError, match=words):
            use()


def model(**spec: Any) -> Predictor:
    return Predictor(Artefact(brightness(1, 1), InputSpec(size=(9, 8), channels="gray", **spec), ClassTable()), "cpu")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("depth", [1.0, 0.0], ids=["sform", "sform without a third axis"])
def test_pictures_as_nifti_are_volumes_of_one_slice(tmp_path: Path, packed: bool, depth: float) -> None:
    flat = np.abs(VOXELS[..., 0])
    path = save(
        tmp_path / "in/a.nii",
        flat,
        (280 + 2 * 4, "f", (0,)),
        (312 + 2 * 4, "f", (2.5 * depth,)),
        (PIXDIM + 12, "f", (0,)),
    )
    if packed:
        path = path.with_suffix(".nii.gz")
        path.write_bytes(gzip.compress((tmp_path / "in/a.nii").read_bytes()))
        (tmp_path / "in/a.nii").unlink()
    handle = open_image(path)
    assert handle.shape == (9, 8, 1)
    assert handle.geometry.spacing == pytest.approx((0.7, 0.8, 2.5 if depth else 1.0))
    assert np.array_equal(handle.read(), flat[..., None])
    assert np.array_equal(handle.slice(2, 0), flat)
    write_mask(tmp_path / "mask.nii.gz", (flat > 300)[..., None].astype(np.uint8), like=handle)
    check_same_grid(path, tmp_path / "mask.nii.gz")
    assert nib.load(tmp_path / "mask.nii.gz").shape == (9, 8), "as the image has it"
    (done,) = predict_files(model(axis=2), [tmp_path / "in"], tmp_path / "out", check=True).files
    assert (done.error, done.remark, done.depth) == (None, None, 1)
    assert evaluate(tmp_path / "out", tmp_path / "out", out=tmp_path / "scores").rows[0].scores["dice"] == 1


def test_the_second_version_is_checked_too(tmp_path: Path) -> None:
    save(tmp_path / "in/a.nii.gz", kind=nib.Nifti2Image)
    (done,) = predict_files(model(axis=2), [tmp_path / "in"], tmp_path / "out", check=True).files
    assert done.error is None
    assert int(nib.load(tmp_path / "out/a.nii.gz").header["sizeof_hdr"]) == 540


def test_a_slice_that_the_model_sees_from_its_edge_is_told(tmp_path: Path) -> None:
    save(tmp_path / "in/a.nii.gz", VOXELS[:1])
    (done,) = predict_files(model(axis=2), [tmp_path / "in"], tmp_path / "out").files
    assert str(done.remark).startswith(
        "the volume is one slice across right-left, and the model sees slices across feet-head"
    )
    (done,) = predict_files(model(axis=0), [tmp_path / "in"], tmp_path / "other").files
    assert done.remark is None
