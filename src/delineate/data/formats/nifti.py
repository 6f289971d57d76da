"""NIfTI volumes ⇄ arrays, with their geometry.

Arrays keep the order of the file's axes (X×Y×Z), so that spacing and affine speak of the same axes. nibabel reads and writes, and
is imported only when a volume is met (`data.formats.nifti_header`).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import sha256, write_bytes
from delineate.data.core.geometry import Geometry
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.contract import (
    DEFAULT_MAX_PIXELS,
    FULL,
    GRAY,
    ImageHandle,
    Palette,
    Reader,
    Writer,
    grid_to_write,
    plane_of,
)
from delineate.data.formats.frames import frame_address, frames_needed
from delineate.data.formats.images import read_content
from delineate.data.formats.nifti_header import (
    NIFTI_SUFFIXES,
    axes_of,
    broken,
    geometry_of,
    header_size,
    image_class,
    is_flat,
    is_packed,
    nibabel,
    place_notes,
    read_header,
)
from delineate.data.formats.shared_content import SharedContent

__all__ = ["Nifti", "NiftiHandle", "write_volume_image"]

_SLACK = 1 << 20
"""Bytes behind the voxels."""
_COMMON = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32)
_TEXTS = ("descrip", "aux_file", "db_name")
_SCANNER = 1
"""NIfTI's code for positions in the scanner."""


class NiftiHandle(ImageHandle):
    """A volume whose header has been read. Slices of an unpacked file (`.nii`) are read one by one; a packed one is unpacked as a
    whole at the first slice, and its voxels are kept in the file's own type as long as the handle is."""

    geometry: Geometry

    def __init__(self, path: Path) -> None:
        """`path`: a file, or one of its frames. Raises `DataError` as `nifti_header` and `frames_needed`."""
        self.path = path
        self._file, frame = frame_address(path)
        self.header = read_header(self._file)
        self._frame = frames_needed(path, frame, axes_of(path, self.header)[1])
        self.geometry = geometry_of(path, self.header)
        self.shape = self.geometry.shape
        self._content = SharedContent(partial(_load, self._file))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        stored = self.header.get_data_dtype()
        self._check_numbers(stored)
        slope, inter = self.header.get_slope_inter()
        one = np.zeros(1, stored.newbyteorder("="))
        return one.dtype if slope is None else _scaled(one, slope, inter).dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return GRAY

    @property
    def notes(self) -> tuple[str, ...]:
        return place_notes(self.path, self.header)

    def read(self) -> Pixels:
        return self._voxels if "_voxels" in self.__dict__ else self._decoded()

    def slice(self, axis: int, index: int) -> Pixels:
        if not 0 <= index < self.shape[axis]:
            raise IndexError(f"{self.path} has {self.shape[axis]} slices across axis {axis}, none of number {index}")
        if is_packed(self._file) or is_flat(self.header):
            return plane_of(self._voxels, axis, index)
        self._check_numbers(self.header.get_data_dtype())
        where: list[Any] = [slice(None)] * 3 + self._further
        where[axis] = index
        try:
            plane = np.asanyarray(self._proxy[tuple(where)])
            return plane.astype(plane.dtype.newbyteorder("="), copy=False)
        except Exception as error:
            raise broken(self.path, error) from error

    def digest(self) -> str:
        """Of the file, and of the frame where there are several."""
        found = sha256(self._file)
        return found if self._frame is None else hashlib.sha256(f"{found} {self._frame}".encode()).hexdigest()

    def read_with(self, others: Sequence[ImageHandle]) -> None:
        """Frames of one file share what it holds while they are read one after the other."""
        frames = [one for one in others if isinstance(one, NiftiHandle) and one._file == self._file]
        content = SharedContent(partial(_load, self._file), len(frames))
        for one in frames:
            one._content = content

    @property
    def _further(self) -> list[Any]:
        """Where the frame lies along the axes behind the third."""
        sizes = [int(size) for size in self.header["dim"][4 : 1 + int(self.header["dim"][0])]]
        return [0 if size == 1 else self._frame for size in sizes]

    @cached_property
    def _voxels(self) -> Pixels:
        return self._decoded()

    def _decoded(self) -> Pixels:
        image = self._content.take()
        try:
            array = np.asanyarray(image.dataobj[(..., *self._further)])
        except Exception as error:
            raise broken(self.path, error) from error
        self._check_numbers(array.dtype)
        array = array[..., None] if is_flat(self.header) else array
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    @cached_property
    def _proxy(self) -> Any:
        """Voxels in the file, read where they are indexed."""
        kind = image_class(int(self.header["sizeof_hdr"]))
        try:
            return kind.from_file_map(kind.make_file_map({"image": str(self._file)}), mmap=False).dataobj
        except Exception as error:
            raise broken(self.path, error) from error

    def _check_numbers(self, dtype: np.dtype[Any]) -> None:
        if dtype.names:
            raise DataError(
                f"{self.path} has colors ({', '.join(dtype.names)}); only single numbers are readable: convert it"
            )
        if dtype.kind not in "biuf":
            raise DataError(f"{self.path} has {dtype} voxels; only single numbers are readable: convert it")


class _NiftiWriter(Writer):
    """Label volumes on the grid of another volume."""

    suffixes = (".nii.gz", ".nii")

    def check(self) -> None:
        nibabel()

    def write_mask(
        self,
        path: Path,
        mask: NDArray[Any],
        *,
        like: ImageHandle | Geometry | None = None,
        labels: str = "",
        palette: Palette | None = None,
    ) -> None:
        image = _image(mask, like)
        image.header.set_intent("label")
        _write(path, image)

    def write_map(self, path: Path, values: NDArray[np.uint16], *, like: ImageHandle | Geometry | None = None) -> None:
        """The file says by its scaling that 65535 is 1, so that readers see the probabilities themselves."""
        image = _image(values, like)
        image.header.set_intent("estimate", name="probability")
        image.header.set_slope_inter(1 / FULL, 0)
        _write(path, image)


class Nifti(Reader):
    """NIfTI-1 and -2 in one file, packed or not."""

    name = "nifti"
    suffixes = NIFTI_SUFFIXES
    kind = "volume"
    writer = _NiftiWriter()

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NiftiHandle:
        """`max_pixels` is of pictures: volumes have a limit of their own (`archive_sizes.MAX_VOXELS`)."""
        return NiftiHandle(path)

    def frames(self, path: Path) -> int:
        return axes_of(path, read_header(path))[1]


def write_volume_image(path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
    """Write an image, X×Y×Z numbers of any type, as NIfTI on a grid. Whole numbers of 64 bits, which few programs read, become
    those of 32 bits, or float64 where these do not hold them.

    Raises `OSError` where it cannot be written.
    """
    if voxels.dtype.kind in "iub" and voxels.dtype not in _COMMON:
        limits = np.iinfo(np.int32)
        fits = limits.min <= int(voxels.min(initial=0)) and int(voxels.max(initial=0)) <= limits.max
        voxels = voxels.astype(np.int32 if fits else np.float64)
    _write(path, _like_grid(geometry, voxels))


def _image(array: NDArray[Any], like: ImageHandle | Geometry | None) -> Any:
    """uint8 or uint16 on the grid of `like`."""
    geometry = grid_to_write(like, array)
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a volume to write is uint8 or uint16, not {array.dtype}")
    return _like_file(like.header, array) if isinstance(like, NiftiHandle) else _like_grid(geometry, array)


def _write(path: Path, image: Any) -> None:
    content = image.to_bytes()
    write_bytes(path, gzip.compress(content, 6, mtime=0) if is_packed(path) else content)


def _like_file(stated: Any, mask: NDArray[Any]) -> Any:
    """An image with the affine, sform and qform with their codes, and units of a file's header.

    Descriptions of the other file's values (scaling, display range, header extensions) are not taken over, nor are texts: some
    converters write into them whose image it is.
    """
    header = stated.copy()
    if is_flat(stated):
        mask = mask[..., 0]
        header["pixdim"][3] = float(header["pixdim"][3]) or 1  # nibabel would write a line of its own
    header.set_data_dtype(mask.dtype)
    header["cal_min"] = header["cal_max"] = 0
    header["scl_slope"] = header["scl_inter"] = np.nan
    for text in _TEXTS:
        if text in header:
            header[text] = b""
    return image_class(int(header["sizeof_hdr"]))(mask, header.get_best_affine(), header)


def _like_grid(geometry: Geometry, mask: NDArray[Any]) -> Any:
    """An image whose sform is the geometry's; the qform, which has no shear, is equal to it or has the code 0."""
    affine = geometry.to_ras()
    image = nibabel().Nifti1Image(mask, affine)
    image.header.set_xyzt_units("mm")
    image.header.set_sform(affine, _SCANNER)
    sheared = not np.allclose(geometry.direction.T @ geometry.direction, np.eye(3), atol=1e-4)
    image.header.set_qform(affine, 0 if sheared else _SCANNER)
    return image


def _load(path: Path) -> Any:
    """The file as nibabel's image. The whole file is unpacked, so that the checksum at its end is compared."""
    content = read_content(path)
    if is_packed(path):
        content = _unpacked(content, path)
    try:
        return image_class(header_size(content)).from_bytes(content)
    except Exception as error:
        raise broken(path, error) from error


def _unpacked(content: bytes, path: Path) -> bytes:
    """The bytes of a packed file, never more than its header has use for: a small file may unpack to all memory there is."""
    header = read_header(path)
    try:
        voxels = math.prod(int(size) for size in header["dim"][1 : 1 + int(header["dim"][0])])
        start, item = float(header["vox_offset"]), header.get_data_dtype().itemsize
        most = int(start) + voxels * item + _SLACK
        with gzip.open(io.BytesIO(content)) as stream:
            unpacked = stream.read(most + 1)
    except DataError:
        raise
    except Exception as error:
        raise broken(path, error) from error
    if len(unpacked) > most:
        raise DataError(f"{path} unpacks to more than the {voxels:,} voxels of its header; restore or remove it")
    return unpacked


def _scaled(array: NDArray[Any], slope: float, inter: float) -> NDArray[Any]:
    return nibabel().volumeutils.apply_read_scaling(array, slope, inter)
