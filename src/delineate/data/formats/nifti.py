"""NIfTI volumes ⇄ arrays, with their geometry: where a voxel lies, and how far apart voxels are, in millimetres.

Arrays keep the order of the file's axes (X×Y×Z), so that spacing and affine speak of the same axes. nibabel reads and writes;
it is an extra (`pip install nibabel`) and imported only when a volume is met. The header is checked before
nibabel sees it, because nibabel mends impossible spacings silently.
"""

from __future__ import annotations

import gzip
import io
import math
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import write_bytes
from delineate.data.core import labels
from delineate.data.core.manifest import Coding
from delineate.data.core.mask_values import RawMask
from delineate.data.formats.archive_sizes import MAX_VOXELS
from delineate.data.formats.images import raw_mask, read_content, read_mask, volume_suffix

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_MOST_EXTENSIONS, _SLACK = 1 << 28, 1 << 20
"""Bytes before the voxels, and behind them."""
TOLERANCE = 0.05
"""Corners of two volumes of the same geometry lie closer than this share of the smallest spacing."""

_VERSIONS = {348: "Nifti1", 540: "Nifti2"}
"""Bytes of the header → nibabel's prefix of the classes for that version."""
_MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
"""NIfTI's code of the length unit (metre, millimetre, micrometre) → millimetres; an unknown unit is taken for millimetres."""


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of a file lie."""

    path: Path
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    """4×4: voxel index (i, j, k, 1) → position in mm."""
    spacing: tuple[float, float, float]
    """Distance of neighbouring voxels along each axis of the array, in mm."""


@dataclass(frozen=True)
class Volume:
    """Voxels X×Y×Z with their geometry."""

    array: NDArray[Any]
    geometry: Geometry

    @property
    def affine(self) -> NDArray[np.float64]:
        """4×4: voxel index → position in mm."""
        return self.geometry.affine

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis of the array, in mm."""
        return self.geometry.spacing


def is_nifti(path: Path) -> bool:
    """Whether a file's name is that of a NIfTI volume."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def file_stem(path: Path) -> str:
    """A file's name without its suffix, `.nii.gz` being one: `case_01.nii.gz` → `case_01`."""
    suffix = volume_suffix(path)
    return path.name[: -len(suffix)] if suffix else path.stem


def read_geometry(path: Path) -> Geometry:
    """A volume's geometry, from its header alone.

    Raises `DataError` naming the file: not a NIfTI file, not three-dimensional (trailing axes of length one are dropped), too
    large, spacing that is zero, negative, not a number or at odds with the affine; or nibabel is missing.
    """
    header = _read_header(path)
    shape = _three_axes(path, tuple(int(size) for size in header["dim"][1 : 1 + int(header["dim"][0])]))
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except Exception as error:
        raise _broken(path, error) from error
    unit = _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    affine[:3] *= unit
    raw = tuple(float(value) for value in header["pixdim"][1:4])
    return Geometry(path, shape, affine, _spacing(path, raw, unit, affine))


def read_volume(path: Path) -> Volume:
    """Decode a volume with the file's scaling applied. Raises `DataError` as `read_geometry`, and for damaged files."""
    geometry = read_geometry(path)
    image = _load(path)
    try:
        array = np.asanyarray(image.dataobj).reshape(geometry.shape)
    except Exception as error:
        raise _broken(path, error) from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path} has {array.dtype} voxels; only single numbers are readable: convert it")
    return Volume(array, geometry)


def read_label_volume(path: Path) -> Volume:
    """Decode a volume of labels → uint8 or uint16. Whole numbers stored as floats are accepted.

    Raises `DataError` as `read_volume`, and naming the value for fractions, NaN, negative labels and labels above 65535.
    """
    volume = read_volume(path)
    if not volume.array.size:
        raise DataError(f"{path} has no voxels ({_size(volume.geometry.shape)})")
    return Volume(labels.whole(volume.array, path, "volume", "voxels"), volume.geometry)


def read_labels(path: Path, coding: Coding | None = None) -> NDArray[Any]:
    """Raw label values of a mask image (H×W) or of a label volume (X×Y×Z), uint8 or uint16. Raises `DataError`."""
    return read_label_volume(path).array if is_nifti(path) else read_mask(path, coding=coding)


def read_raw_labels(path: Path) -> RawMask:
    """A mask image or label volume before it is known what its values mean. Raises `DataError`."""
    if is_nifti(path):
        return RawMask(read_label_volume(path).array)
    return raw_mask(read_content(path), path)


def write_mask_volume(path: Path, mask: NDArray[np.uint8], *, like: Path) -> None:
    """Write X×Y×Z uint8 as NIfTI, atomically, with the geometry of the file `like` (affine, sform and qform with their codes).

    Descriptions of the other file's values (scaling, display range, header extensions) are not taken over. Raises
    `ValueError` for another type or shape than that of `like`, `DataError` as `read_geometry`.
    """
    shape = read_geometry(like).shape
    if mask.dtype != np.uint8 or mask.shape != shape:
        raise ValueError(f"a mask to write is uint8 {shape}, not {mask.dtype} {mask.shape}")
    if not is_nifti(path):
        raise ValueError(f"{path} does not end in {' or '.join(NIFTI_SUFFIXES)}")
    template = _load(like)
    header = template.header.copy()
    header.set_data_dtype(np.uint8)
    header["cal_min"] = header["cal_max"] = 0
    header["scl_slope"] = header["scl_inter"] = np.nan
    header.set_intent("none")
    header.extensions.clear()
    content = type(template)(mask, template.affine, header).to_bytes()
    write_bytes(path, gzip.compress(content, 6, mtime=0) if path.name.lower().endswith(".gz") else content)


def check_same_geometry(one: Geometry, other: Geometry, *, tolerance: float = TOLERANCE) -> None:
    """Raise `DataError` naming both files when shapes differ, or a corner lies elsewhere by more than `tolerance` voxels."""
    if one.shape != other.shape:
        raise DataError(
            f"{one.path} has {_size(one.shape)} voxels but {other.path} has {_size(other.shape)}; "
            "resample one to the grid of the other"
        )
    corners = np.array([[*corner, 1] for corner in product(*((0, size - 1) for size in one.shape))])
    distance = float(np.linalg.norm((corners @ (one.affine - other.affine).T)[:, :3], axis=1).max())
    if distance > tolerance * min(one.spacing + other.spacing):
        raise DataError(
            f"{one.path} and {other.path} have the same shape but lie up to {distance:.3g} mm apart (their affines "
            "differ); resample one to the grid of the other, or correct the header that is wrong"
        )


def _read_header(path: Path) -> Any:
    if not is_nifti(path):
        suffix = volume_suffix(path) or path.suffix or "none"
        raise DataError(f"{path} is no NIfTI volume (suffix {suffix}); convert it to .nii.gz")
    nibabel = _nibabel()
    content = _first_bytes(path, max(_VERSIONS))
    size = _header_size(content)
    if len(content) < size or not size:
        raise DataError(f"{path} is not a NIfTI file, or damaged in its first bytes; restore or remove it")
    try:
        header = getattr(nibabel, f"{_VERSIONS[size]}Header")(content[:size], check=False)
    except Exception as error:
        raise _broken(path, error) from error
    if not bytes(header["magic"]).startswith((b"n+", b"ni")):
        raise DataError(f"{path} is not a NIfTI file (an Analyze header without orientation?); convert it to .nii.gz")
    return header


def _header_size(content: bytes) -> int:
    """The size that a header states of itself, in either byte order; 0 when it is no NIfTI header."""
    stated = (int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big"))
    return next((size for size in stated if size in _VERSIONS), 0)


def _load(path: Path) -> Any:
    """The file as nibabel's image. The whole file is unpacked, so that the checksum at its end is compared."""
    content = read_content(path)
    if path.name.lower().endswith(".gz"):
        content = _unpacked(content, path)
    try:
        return getattr(_nibabel(), f"{_VERSIONS[_header_size(content)]}Image").from_bytes(content)
    except Exception as error:
        raise _broken(path, error) from error


def _unpacked(content: bytes, path: Path) -> bytes:
    """The bytes of a packed file, never more than its header has use for: a small file may unpack to all memory there is."""
    header = _read_header(path)
    try:
        voxels = math.prod(int(size) for size in header["dim"][1 : 1 + int(header["dim"][0])])
        start, item = float(header["vox_offset"]), header.get_data_dtype().itemsize
        if not 0 <= start <= _MOST_EXTENSIONS:
            raise DataError(f"{path} says that its voxels begin at byte {start:g}, which cannot be; correct its header")
        most = int(start) + voxels * item + _SLACK
        with gzip.open(io.BytesIO(content)) as stream:
            unpacked = stream.read(most + 1)
    except DataError:
        raise
    except Exception as error:
        raise _broken(path, error) from error
    if len(unpacked) > most:
        raise DataError(f"{path} unpacks to more than the {voxels:,} voxels of its header; restore or remove it")
    return unpacked


def _first_bytes(path: Path, number: int) -> bytes:
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            return stream.read(number)
    except Exception as error:
        read_content(path)  # a missing, unreadable or empty file has a line of its own
        raise _broken(path, error) from error


def _three_axes(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        hint = "save each frame as a file" if len(shape) > 3 else "volumes have three"
        raise DataError(f"{path} has {len(shape)} axes ({_size(shape)}); {hint}")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise DataError(f"{path} has {_size(shape)} voxels, above the limit of {MAX_VOXELS:,}; crop or resample it")
    return shape


def _spacing(
    path: Path, raw: tuple[float, ...], unit: float, affine: NDArray[np.float64]
) -> tuple[float, float, float]:
    if not (np.isfinite(raw).all() and np.isfinite(affine).all()):
        raise DataError(f"{path} has a spacing or affine that is not a number ({_size(raw)}); correct its header")
    if min(raw) <= 0:
        raise DataError(f"{path} has the spacing {_size(raw)}, which cannot be; correct its header")
    spacing = (raw[0] * unit, raw[1] * unit, raw[2] * unit)
    by_affine = tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    if not np.allclose(spacing, by_affine, rtol=0.01):
        raise DataError(
            f"{path} tells two spacings: {_size(spacing)} mm (pixdim) and {_size(by_affine)} mm (affine); correct its header"
        )
    return spacing


def _size(sizes: tuple[float, ...]) -> str:
    return "×".join(f"{size:g}" for size in sizes)


def _nibabel() -> Any:
    try:
        return import_module("nibabel")
    except ImportError as error:
        raise DataError("NIfTI volumes need nibabel: pip install nibabel") from error


def _broken(path: Path, error: Exception) -> DataError:
    """Readers raise almost anything on damaged bytes; a lack of memory is not the file's fault."""
    if isinstance(error, MemoryError):
        return DataError(f"{path} does not fit into memory; crop or resample it")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{path} is damaged or truncated ({reason}); restore or remove it")
