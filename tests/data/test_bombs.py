"""Small files that unpack to more than there is memory are refused by what their headers say, before they are unpacked."""

from __future__ import annotations

import gzip
import resource
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.registry import open_image, read_image, read_raw_labels

LIMIT = 120_000
"""KiB that reading may add to the process's largest size."""


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LIMIT


def zeros(path: Path, shape: tuple[int, ...]) -> None:
    """An .npz of uint8 zeros with two arrays."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("image", "label"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
                for _ in range(int(np.prod(shape)) >> 24):
                    stream.write(bytes(1 << 24))


@pytest.mark.parametrize("address", ["image", "image.3"])
def test_npz(address: str, tmp_path: Path) -> None:
    shape = (16384, 16384) if address == "image" else (4, 8192, 8192)
    zeros(tmp_path / "a.npz", shape)
    with pytest.raises(
        DataError, match=r"a\.npz has .* above the limit of 10 megapixels; raise it with --max-megapixels"
    ):
        read_image(Path(f"{tmp_path}/a.npz#{address}"), max_pixels=10_000_000)


def test_npz_whose_header_claims_more_than_it_has(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("image.npy", "w") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6, 10)}
        np.lib.format.write_array_header_1_0(stream, header)
    with pytest.raises(DataError, match=r"damaged or truncated \(its array 'image' ends at slice 0\)"):
        read_image(Path(f"{tmp_path}/a.npz#image.3"), max_pixels=10**13)
    with pytest.raises(DataError, match="above the limit"):
        open_image(Path(f"{tmp_path}/a.npz#image@volume"), max_pixels=10**13).read()


def test_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("image", (50_000, 50_000), "u1", chunks=(1000, 1000), compression="gzip")
        small = file.create_dataset("bomb", (64, 64), "u1", chunks=(64, 64), compression="gzip")
        small.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 28), 1))
        sound = file.create_dataset("sound", (64, 64), "u1", chunks=(7, 9), compression="gzip")
        sound[:] = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    with pytest.raises(DataError, match="above the limit of 400 megapixels"):
        read_image(Path(f"{tmp_path}/a.h5#image"))
    with pytest.raises(DataError, match="larger packed than unpacked"):
        read_image(Path(f"{tmp_path}/a.h5#bomb"))
    assert read_image(Path(f"{tmp_path}/a.h5#sound")).shape == (64, 64)


@pytest.mark.parametrize("offset", [352.0, 1e30, float("nan"), -5.0])
def test_nifti(offset: float, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    raw = bytearray(nibabel.Nifti1Image(np.zeros((8, 8, 8), np.uint8), np.eye(4)).to_bytes())
    raw[108:112] = np.float32(offset).tobytes()
    path = tmp_path / "a.nii.gz"
    with gzip.open(path, "wb", 1) as stream:
        stream.write(raw)
        for _ in range(16):
            stream.write(bytes(1 << 24))
    with pytest.raises(DataError, match=r"a\.nii\.gz (unpacks to more|says that its voxels|is damaged)"):
        read_raw_labels(path)


def test_a_sound_volume_in_several_gzip_members_is_read(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    raw = nibabel.Nifti1Image(np.ones((8, 9, 10), np.uint8), np.eye(4)).to_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw[:500]) + gzip.compress(raw[500:]))
    assert read_raw_labels(tmp_path / "a.nii.gz").pixels.sum() == 720


def test_tiff_with_tiles_larger_than_its_picture(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages[0].tags[name].overwrite(32768)
    with pytest.raises(DataError, match="damaged"):
        read_image(path)
