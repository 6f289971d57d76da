"""Damaged and hostile files of volumes: read, or refused in one line that names the file; no traceback, no endless work."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.registry import file_frames, open_image, reads_volume

VOXELS = np.random.default_rng(0).integers(0, 2000, (6, 7, 8)).astype(np.uint16)
_HEADER = 700
"""Bytes at the start, or at the end of a TIFF, in which headers lie."""


def _nifti(path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.diag([0.7, 0.8, 3, 1.0])), path)


def _itk(path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing((0.7, 0.8, 3.0))
    sitk.WriteImage(image, str(path), path.name.startswith("packed"))


def _tiff(**how: Any) -> Callable[[Path], None]:
    return lambda path: pytest.importorskip("tifffile").imwrite(path, VOXELS, photometric="minisblack", **how)


def _hdf5(path: Path) -> None:
    with pytest.importorskip("h5py").File(path, "w") as file:
        file.create_dataset("image", data=VOXELS, chunks=(4, 4, 4), compression="gzip")


MADE: dict[str, Callable[[Path], None]] = {
    "plain.nii": _nifti,
    "packed.nii.gz": _nifti,
    "plain.mha": _itk,
    "packed.mha": _itk,
    "plain.nrrd": _itk,
    "packed.nrrd": _itk,
    "imagej.tif": _tiff(imagej=True, metadata={"axes": "ZYX"}),
    "ome.tif": _tiff(ome=True, metadata={"axes": "ZYX"}, compression="zlib"),
    "tiles.tif": _tiff(tile=(16, 16), compression="zlib", predictor=True, metadata=None),
    "big.tif": _tiff(bigtiff=True, metadata=None),
    "plain.npz": lambda path: np.savez(path, image=VOXELS),
    "packed.npz": lambda path: np.savez_compressed(path, image=VOXELS),
    "packed.h5": _hdf5,
}


@pytest.mark.parametrize("name", MADE)
def test_damaged_files_are_read_or_refused_in_a_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    MADE[name](path)
    sound, draw = path.read_bytes(), random.Random(name)
    address = Path(f"{path}#image@volume") if path.suffix in (".npz", ".h5") else path
    open_image(address).read()
    for turn in range(60):
        path.write_bytes(damaged(sound, draw, at_end=path.suffix == ".tif"))
        os.utime(path, ns=(turn, turn))
        lines = [line for use in (_read, _labels, _about) if (line := refusal(use, address))]
        assert all(str(path) in line and "\n" not in line for line in lines), lines


def refusal(use: Callable[[Path], None], path: Path) -> str:
    """The line by which a file is refused; '' where it is read. What is no `DataError` passes through."""
    try:
        use(path)
    except DataError as error:
        return str(error)
    return ""


def damaged(sound: bytes, draw: random.Random, at_end: bool) -> bytes:
    """Cut off, or with a few other bytes, most of them in its header."""
    if draw.random() < 0.2:
        return sound[: draw.randrange(1, len(sound))]
    content = bytearray(sound)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        place = draw.randrange(min(len(content), _HEADER) if draw.random() < 0.7 else len(content))
        if at_end and draw.random() < 0.5:
            place = len(content) - 1 - place
        content[place] = draw.choice((0, 255, 127, 128, draw.randrange(256)))
    return bytes(content)


def _read(path: Path) -> None:
    handle = open_image(path)
    handle.slice(2 if handle.is_volume else 0, 0)
    handle.read()


def _labels(path: Path) -> None:
    open_image(path).labels()


def _about(path: Path) -> None:
    file_frames(path)
    reads_volume(path)
    handle = open_image(path)
    assert isinstance(handle.notes, tuple)
    assert len(handle.digest()) == 64
    assert handle.dtype.kind in "biuf"


def test_directories_that_overlap_are_no_endless_work(tmp_path: Path) -> None:
    """Each of a thousand directories would list all that follow in the file."""
    number = 1000
    content = bytearray(b"II*\0" + (8).to_bytes(4, "little"))
    content += bytes(2 + 12 * number + 4 + 6 * number)
    for at in range(number):
        place = 8 + 6 * at
        content[place : place + 2] = (number).to_bytes(2, "little")
    end = 8 + 2 + 12 * number
    content[end : end + 4] = (14).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tif is damaged or truncated"):
        open_image(tmp_path / "a.tif").read()


def test_stacks_that_claim_more_than_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(path, VOXELS, photometric="minisblack", compression="zlib", metadata=None)
    content = bytearray(path.read_bytes())
    for page in tifffile.TiffFile(path).pages:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            place = page.tags[tag].valueoffset
            content[place : place + 2] = (60_000).to_bytes(2, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tif has 60000×60000 pixels, above the limit"):
        open_image(path)
    with pytest.raises(DataError, match=r"a\.tif has 60000×60000×6 voxels, above the limit"):
        open_image(path, max_pixels=10**10)
