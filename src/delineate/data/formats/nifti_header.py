"""The header of a NIfTI file: size and geometry, checked before a voxel is read.

nibabel reads it; it is an extra (`pip install nibabel`) and imported only when a volume is met. The numbers are checked before
nibabel sees them, because it mends impossible spacings silently.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import TOLERANCE, Geometry, Triple, check_origin, check_spacing, sizes
from delineate.data.formats.archive_sizes import MAX_VOXELS
from delineate.data.formats.images import read_content

__all__ = [
    "NIFTI_SUFFIXES",
    "axes_of",
    "broken",
    "geometry_of",
    "header_size",
    "image_class",
    "is_flat",
    "is_packed",
    "is_rare",
    "nibabel",
    "place_notes",
    "read_header",
]

NIFTI_SUFFIXES = (".nii", ".nii.gz")

_VERSIONS = {348: "Nifti1", 540: "Nifti2"}
"""Bytes of the header → nibabel's prefix of the classes for that version."""
_MILLIMETERS = {1: 1000.0, 2: 1.0, 3: 0.001}
"""NIfTI's code of the length unit (meter, millimeter, micrometer) → millimeters; an unknown unit is taken for millimeters."""
_GZIP = b"\x1f\x8b"
"""What gzip's files begin with."""
_MOST_EXTENSIONS = 1 << 28
"""Bytes before the voxels."""


def _is_nifti(path: Path) -> bool:
    """Whether a file's name is that of a NIfTI volume."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def is_packed(path: Path) -> bool:
    """Whether a file's name says that gzip has packed it."""
    return path.name.lower().endswith(".gz")


def read_header(path: Path) -> Any:
    """nibabel's header of a file, unchecked. Raises `DataError`: no NIfTI file, damaged, or nibabel is missing."""
    package = nibabel()
    content = _first_bytes(path, max(_VERSIONS))
    if content.startswith(_GZIP) and not is_packed(path):
        raise DataError(f"{path} is packed with gzip, which its name does not say: rename it to {path.name}.gz")
    size = header_size(content)
    if len(content) < size or not size:
        raise DataError(f"{path} is not a NIfTI file, or damaged in its first bytes; restore or remove it")
    try:
        header = getattr(package, f"{_VERSIONS[size]}Header")(content[:size], check=False)
    except Exception as error:
        raise broken(path, error) from error
    if not bytes(header["magic"]).startswith((b"n+", b"ni")):
        raise DataError(f"{path} is not a NIfTI file (an Analyze header without orientation?); convert it to .nii.gz")
    _check_voxels(path, header)
    if abs(float(header["pixdim"][0])) != 1:
        header["pixdim"][0] = 1  # NIfTI's rule: the handedness of a qform is that of 1, unless -1 is stated
    return header


def _check_voxels(path: Path, header: Any) -> None:
    """Raise `DataError` for voxels of a type or at a place that cannot be: of these nibabel would write lines of its own."""
    start, code = float(header["vox_offset"]), int(header["datatype"])
    if not 0 <= start <= _MOST_EXTENSIONS:
        raise DataError(f"{path} says that its voxels begin at byte {start:g}, which cannot be; correct its header")
    try:
        header.get_data_dtype()
    except Exception as error:
        raise DataError(
            f"{path} has voxels of an unknown type (code {code}); correct its header, or convert it"
        ) from error


def image_class(size: int) -> Any:
    """nibabel's class of images for the size of a header."""
    return getattr(nibabel(), f"{_VERSIONS[size]}Image")


def is_rare(path: Path) -> bool:
    """Whether a file is of NIfTI-2 or of two axes, which fewer programs read as they are meant; False of another format.

    Raises `DataError` as `read_header`.
    """
    if not _is_nifti(path):
        return False
    header = read_header(path)
    return int(header["sizeof_hdr"]) == max(_VERSIONS) or is_flat(header)


def header_size(content: bytes) -> int:
    """The size that a header states of itself, in either byte order; 0 when it is no NIfTI header."""
    stated = (int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big"))
    return next((size for size in stated if size in _VERSIONS), 0)


def geometry_of(path: Path, header: Any) -> Geometry:
    """The geometry that a header tells.

    Raises `DataError` naming the file: not of three or four axes, too large, spacing that is zero, negative, not a number or at
    odds with the affine.
    """
    shape, _ = axes_of(path, header)
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except Exception as error:
        raise broken(path, error) from error
    unit = _MILLIMETERS.get(int(header["xyzt_units"]) & 7, 1.0)
    affine[:3] *= unit
    raw = [float(value) for value in header["pixdim"][1:4]]
    if is_flat(header):
        raw[2] = _given_depth(affine) / unit
    spacing = _spacing(path, raw, unit, affine)
    by_sform, by_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if by_sform or by_qform:  # else nibabel takes the middle for the origin
        check_origin(path, affine[:3, 3], "srow_x, srow_y, srow_z" if by_sform else "qoffset_x, qoffset_y, qoffset_z")
    return Geometry.of_ras(affine, shape, spacing)


def place_notes(path: Path, header: Any) -> tuple[str, ...]:
    """A line where a header tells no directions, or its two affines disagree. Some viewers show the latter mirrored, since they use
    the other one."""
    codes = int(header["sform_code"]), int(header["qform_code"])
    if max(codes) <= 0:
        return (
            f"{path} does not tell where its axes go (the codes of sform and qform are 0): they are taken to go to the left, the "
            "front and the head; see in a viewer whether left is left",
        )
    if min(codes) <= 0:
        return ()
    try:
        by_sform, by_qform = (np.asarray(form, np.float64) for form in (header.get_sform(), header.get_qform()))
    except Exception:
        return (f"{path} has a qform that is not readable beside its sform; the sform is used",)
    unit = _MILLIMETERS.get(int(header["xyzt_units"]) & 7, 1.0)
    shape, _ = axes_of(path, header)
    affines = [np.diag([unit, unit, unit, 1]) @ form for form in (by_sform, by_qform)]
    if is_flat(header):
        for one in affines:
            _given_depth(one)
    grids = [Geometry.of_ras(one, shape) for one in affines]
    apart = float(np.abs(grids[0].corners() - grids[1].corners()).max())
    if apart <= TOLERANCE * min(grids[0].spacing):
        return ()
    return (
        f"{path} tells two places for its voxels, up to {apart:.3g} mm apart (sform and qform); the sform is used: see in a viewer "
        "whether it is right, and save the file with both alike",
    )


def nibabel() -> Any:
    """The package, which does not print what it mends in a header: what matters is checked here, with the file's name.

    Raises `DataError` where it is missing.
    """
    try:
        package = import_module("nibabel")
    except ImportError as error:
        raise DataError("NIfTI volumes need nibabel: pip install nibabel") from error
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    return package


def broken(path: Path, error: Exception) -> DataError:
    """Readers raise almost anything on damaged bytes; a lack of memory is not the file's fault."""
    if isinstance(error, MemoryError):
        return DataError(f"{path} does not fit into memory; crop or resample it")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{path} is damaged or truncated ({reason}); restore or remove it")


def _first_bytes(path: Path, number: int) -> bytes:
    try:
        with gzip.open(path) if is_packed(path) else path.open("rb") as stream:
            return stream.read(number)
    except Exception as error:
        if is_packed(path) and header_size(read_content(path)):
            raise DataError(
                f"{path} is not packed with gzip, although its name ends with .gz: rename it to {path.name[:-3]}"
            ) from error
        read_content(path)  # a missing, unreadable or empty file has a line of its own
        raise broken(path, error) from error


def axes_of(path: Path, header: Any) -> tuple[tuple[int, int, int], int]:
    """Voxels along the three axes, and how many volumes the file holds: frames over time, or channels (NIfTI's axes 4 and 5).

    Axes of length one count as none; a picture of two axes is a volume of one slice. Raises `DataError` naming the file: other
    axes, or too large.
    """
    shape = tuple(int(size) for size in header["dim"][1 : 1 + int(header["dim"][0])])
    further = [size for size in shape[3:] if size != 1]
    if len(shape) < 2 or len(further) > 1:
        raise DataError(
            f"{path} has {len(shape)} axes ({sizes(shape)}); volumes have three, and a fourth of frames or channels"
        )
    shape = (*shape, 1) if len(shape) == 2 else shape
    if min(shape) < 1:
        raise DataError(
            f"{path} has {sizes(shape)} voxels, which cannot be; correct its header, or restore or remove it"
        )
    if np.prod(shape[:3], dtype=np.float64) > MAX_VOXELS:
        raise DataError(f"{path} has {sizes(shape)} voxels, above the limit of {MAX_VOXELS:,}; crop or resample it")
    return (shape[0], shape[1], shape[2]), further[0] if further else 1


def is_flat(header: Any) -> bool:
    """Whether a file is a picture of two axes, whose third has no distance in the header."""
    return int(header["dim"][0]) == 2


def _given_depth(affine: NDArray[np.float64]) -> float:
    """The distance along the third axis of a picture: as the affine has it, else 1 mm along the normal, which is put there."""
    length = float(np.linalg.norm(affine[:3, 2]))
    if length > 0:
        return length
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    affine[:3, 2] = normal / max(float(np.linalg.norm(normal)), float(np.finfo(np.float64).tiny))
    return float(np.linalg.norm(affine[:3, 2]))


def _spacing(path: Path, raw: Sequence[float], unit: float, affine: NDArray[np.float64]) -> Triple:
    if not np.isfinite(affine).all():
        raise DataError(f"{path} has a spacing or affine that is not a number ({sizes(raw)}); correct its header")
    if min(raw) <= 0:
        check_spacing(path, raw)  # the numbers as the header has them
    spacing = check_spacing(path, tuple(each * unit for each in raw))
    by_affine = tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    if not np.allclose(spacing, by_affine, rtol=0.01):
        raise DataError(
            f"{path} tells two spacings: {sizes(spacing)} mm (pixdim) and {sizes(by_affine)} mm (affine); correct its header"
        )
    return spacing
