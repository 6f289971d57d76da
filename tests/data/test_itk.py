"""MetaImage and NRRD volumes: geometry in and out, numbers as they are, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry
from delineate.data.formats.contract import FULL
from delineate.data.formats.itk_header import data_file
from delineate.data.formats.registry import digest_of, open_image, read_geometry, read_mask, write_map, write_mask
from delineate.data.formats.several import open_several
from delineate.data.formats.testing import check_format

sitk = pytest.importorskip("SimpleITK")
nib = pytest.importorskip("nibabel")

SUFFIXES = [".mha", ".mhd", ".nrrd", ".nhdr"]
VALUES = np.random.default_rng(0).integers(-900, 900, (6, 5, 4)).astype(np.int16)
OBLIQUE = Rotation.from_euler("xyz", (10, -20, 5), degrees=True).as_matrix()[:, [1, 0, 2]]


def save(path: Path, array: Any = VALUES, *, direction: Any = OBLIQUE, packed: bool = True) -> Path:
    """X×Y×Z, as SimpleITK writes it."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose()))
    image.SetSpacing((0.5, 0.75, 3.0))
    image.SetOrigin((-100.5, 20.0, 7.25))
    image.SetDirection(np.asarray(direction).ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), packed)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packed", [True, False])
def test_the_promises_of_a_format(tmp_path: Path, suffix: str, packed: bool) -> None:
    file = save(tmp_path / f"a{suffix}", packed=packed)
    (tmp_path / "scratch").mkdir()
    check_format("itk", file, tmp_path / "scratch")
    handle = open_image(file)
    assert np.array_equal(handle.read(), VALUES)
    assert handle.dtype == np.int16
    assert handle.geometry is not None
    assert handle.geometry.spacing == pytest.approx((0.5, 0.75, 3.0))
    assert np.allclose(handle.geometry.direction, OBLIQUE)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_every_type_of_number_stays(tmp_path: Path, suffix: str, dtype: str) -> None:
    array = (np.arange(24).reshape(2, 3, 4) % 3).astype(dtype)
    file = save(tmp_path / f"a{suffix}", array)
    assert open_image(file).read().dtype == np.dtype(dtype)
    assert np.array_equal(read_mask(file), array)


@settings(max_examples=40, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 10)] * 3),
    origin=st.tuples(*[st.floats(-1000, 1000)] * 3),
    shear=st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    suffix=st.sampled_from([".mha", ".nrrd", ".nii.gz", ".nii"]),
)
def test_a_mask_lies_where_its_grid_says(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    shear: tuple[float, float, float],
    suffix: str,
) -> None:
    skewed = np.eye(3)
    skewed[0, 1], skewed[0, 2], skewed[1, 2] = shear
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ (skewed / np.linalg.norm(skewed, axis=0))
    grid = Geometry((5, 4, 3), origin, direction, spacing)
    mask = np.random.default_rng(0).integers(0, 3, grid.shape).astype(np.uint8)
    file = tmp_path_factory.mktemp("mask") / f"m{suffix}"
    write_mask(file, mask, like=grid)
    back = open_image(file)
    assert np.array_equal(back.labels().pixels, mask)
    assert back.geometry is not None
    indices = np.random.default_rng(1).uniform(0, 5, (20, 3))
    assert np.abs(back.geometry.positions(indices) - grid.positions(indices)).max() < 1e-3
    assert back.geometry.spacing == pytest.approx(spacing, rel=1e-5)


def test_itk_and_nifti_agree_on_where_a_volume_lies(tmp_path: Path) -> None:
    """SimpleITK writes one image as both; positions in the patient are the same in ours."""
    image = sitk.ReadImage(str(save(tmp_path / "a.mha")))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    one, other = read_geometry(tmp_path / "a.mha"), read_geometry(tmp_path / "a.nii.gz")
    assert np.abs(one.corners() - other.corners()).max() < 1e-3
    assert np.array_equal(open_image(tmp_path / "a.mha").read(), open_image(tmp_path / "a.nii.gz").read())


def test_maps_are_probabilities(tmp_path: Path) -> None:
    grid = read_geometry(save(tmp_path / "a.mha"))
    values = np.full(grid.shape, FULL // 4, np.uint16)
    write_map(tmp_path / "p.mha", values, like=grid)
    assert open_image(tmp_path / "p.mha").read() == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_frames_have_addresses(tmp_path: Path, suffix: str) -> None:
    several = sitk.GetImageFromArray(np.stack([VALUES.transpose(), VALUES.transpose() + 1], -1), isVector=True)
    sitk.WriteImage(several, str(tmp_path / f"v{suffix}"))
    if suffix == ".nrrd":  # axes of a vector come first in NRRD; the place is that of the others
        several.SetSpacing((1, 1, 2))
    address = tmp_path / f"v{suffix}#1"
    assert np.array_equal(open_image(address).read(), VALUES + 1)
    assert digest_of(address) != digest_of(tmp_path / f"v{suffix}#0")
    with pytest.raises(DataError, match=r"holds 2 volumes .*state one as v\.\w+#0 … #1"):
        open_image(tmp_path / f"v{suffix}")
    with pytest.raises(DataError, match=r"#2 does not exist: the file holds 2 volumes"):
        open_image(tmp_path / f"v{suffix}#2")


def test_frames_of_nifti(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz"):
        nib.save(nib.Nifti1Image(np.stack([VALUES, VALUES + 1], -1), np.eye(4)), tmp_path / name)
        handle = open_image(tmp_path / f"{name}#1")
        assert np.array_equal(handle.read(), VALUES + 1)
        assert np.array_equal(open_image(tmp_path / f"{name}#1").slice(2, 3), VALUES[..., 3] + 1)
        assert handle.digest() != open_image(tmp_path / f"{name}#0").digest()
        with pytest.raises(DataError, match="holds 2 volumes"):
            open_image(tmp_path / name)


def header(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("suffix", "old", "new", "words"),
    [
        (".mha", b"ElementSpacing", b"ElementSpaceing", "does not tell where its voxels lie"),
        (".mha", b"ElementSpacing = 0.5", b"ElementSpacing = 0.0", "spacing|damaged"),
        (".mha", b"ElementSpacing = 0.5", b"ElementSpacing = nan", "spacing|damaged"),
        (".nrrd", b"space directions:", b"space directionz:", "does not tell where its voxels lie|damaged"),
        (".mha", b"ElementDataFile = LOCAL", b"ElementDataFile = /etc/x", "another folder"),
        (".mha", b"ElementDataFile = LOCAL", b"ElementDataFile = ../a.r", "another folder"),
        (".mha", b"ElementDataFile = LOCAL", b"ElementDataFile = LIST\n ", "several files"),
        (
            ".mha",
            b"ElementDataFile = LOCAL",
            b"ElementDataFile = LO\x00AL",
            r"keeps its voxels in 'LO\\x00AL', which is not beside it",
        ),
        (
            ".mha",
            b"ElementDataFile = LOCAL",
            b"ElementDataFile = a.raw",
            r"keeps its voxels in 'a\.raw', which is not beside it",
        ),
        (".mha", b"ElementDataFile", b"ElementDatafile ", "damaged|no MetaImage"),
        (".nrrd", b"NRRD0", b"PNGX0", "no MetaImage or NRRD"),
    ],
)
def test_what_is_refused(tmp_path: Path, suffix: str, old: bytes, new: bytes, words: str) -> None:
    file = header(save(tmp_path / f"a{suffix}"), old, new)
    with pytest.raises(DataError, match=rf"a\{suffix} .*({words})") as caught:
        open_image(file).read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_truncated_voxels_are_called_that(
    tmp_path: Path, suffix: str, packed: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path / f"a{suffix}", packed=packed)
    data = data_file(file)
    data.write_bytes(data.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"a\{suffix} is damaged or truncated \(its voxels are not all there\)"):
        open_image(file).read()
    assert capfd.readouterr().err == "", "ITK has nothing to add"


@pytest.mark.parametrize("name", ["two words.raw", "größe.raw", "./plain.raw"])
def test_voxels_beside_the_header_in_any_name(tmp_path: Path, name: str) -> None:
    file = save(tmp_path / "a.mhd", packed=False)
    (tmp_path / "a.raw").rename(tmp_path / name)
    file.write_text(file.read_text().replace("a.raw", name))
    assert np.array_equal(open_image(file).read(), VALUES)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_places_that_cannot_be_are_refused(tmp_path: Path, suffix: str) -> None:
    image = sitk.GetImageFromArray(VALUES)
    for origin, spacing, words in [
        ((0, 1e30, 0), (1, 1, 1), r"places its first voxel at 0, 1e\+30, 0 mm \(Offset or space origin\).*100000 mm"),
        ((0, 0, 0), (1, 1e9, 1), r"has the spacing 1×1e\+09×1 mm, and distances of voxels lie between 1e-07 and 10000"),
        ((0, 0, 0), (1, 1, 1e-9), "has the spacing 1×1×1e-09 mm"),
    ]:
        image.SetOrigin(origin)
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
        with pytest.raises(DataError, match=rf"a\{suffix} {words}"):
            open_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    ("code", "tag"), [((1, 0), "srow_x, srow_y, srow_z"), ((0, 1), "qoffset_x, qoffset_y, qoffset_z")]
)
def test_the_same_of_nifti(tmp_path: Path, code: tuple[int, int], tag: str) -> None:
    affine = np.eye(4)
    affine[0, 3] = 1e30
    image = nib.Nifti1Image(VALUES, affine)
    image.header.set_sform(affine, code[0])
    image.header.set_qform(affine, code[1])
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(DataError, match=rf"a\.nii places its first voxel at 1e\+30, 0, 0 mm \({tag}\)"):
        open_image(tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_frames_are_unpacked_once(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (3, 4, 5, 6)).astype(np.int16)
    image = sitk.GetImageFromArray(np.moveaxis(voxels, 0, -1), isVector=True)
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"), True)
    image = open_several([tmp_path / f"a{suffix}#{frame}" for frame in range(3)], ["a", "b", "c"])
    unpacked: list[int] = []
    plain = sitk.GetArrayFromImage
    monkeypatch.setattr(sitk, "GetArrayFromImage", lambda one: unpacked.append(1) or plain(one))
    assert np.array_equal(image.read(), np.moveaxis(voxels, 0, -1).transpose(2, 1, 0, 3))
    assert len(unpacked) == 1


def test_detached_voxels_count_for_the_digest(tmp_path: Path) -> None:
    one, other = save(tmp_path / "a/x.mhd", packed=False), save(tmp_path / "b/x.mhd", VALUES + 1, packed=False)
    assert one.read_bytes() == other.read_bytes()
    assert digest_of(one) != digest_of(other)


def test_flat_files_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5), np.uint8)), str(tmp_path / "flat.mha"))
    with pytest.raises(DataError, match=r"flat\.mha has 2 axes \(5×4\); volumes have three"):
        open_image(tmp_path / "flat.mha")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    file = save(tmp_path / "a.mha")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(DataError, match="pip install SimpleITK"):
        open_image(file)
