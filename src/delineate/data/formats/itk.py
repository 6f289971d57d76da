"""MetaImage and NRRD volumes (.mha, .mhd, .nrrd, .nhdr) ⇄ arrays, with their geometry.

SimpleITK reads and writes, and is imported only when such a volume is met. Arrays have the order of the file's axes (X×Y×Z), as
those of NIfTI volumes do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import atomic_path, sha256
from delineate.data.core.geometry import Geometry, check_origin, check_spacing, sizes
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.archive_sizes import MAX_VOXELS
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
from delineate.data.formats.itk_header import ITK_SUFFIXES, check_header, data_file, is_meta
from delineate.data.formats.shared_content import SharedContent

__all__ = ["Itk", "ItkHandle", "by_simpleitk"]


class ItkHandle(ImageHandle):
    """A volume whose header has been read. Its voxels are unpacked as a whole at the first slice, in the file's own type."""

    geometry: Geometry

    def __init__(self, path: Path) -> None:
        """Raises `DataError` naming the file: damaged, not of three axes, too large, without a place, or with an impossible one."""
        self.path = path
        self._file, self._frame = frame_address(path)
        check_header(self._file)
        self._header = _read_information(self._file, path)
        size, frames = _axes(path, self._header)
        self._frame = frames_needed(path, self._frame, frames)
        self.geometry = _geometry(path, self._header, size)
        self.shape = self.geometry.shape
        self._content = SharedContent(self._stored)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        kind = _numbers().get(self._header.GetPixelID())
        if kind is None:
            name = _package().GetPixelIDValueAsString(self._header.GetPixelID())
            raise DataError(
                f"{self.path} has voxels of the kind '{name}'; only whole and floating-point numbers are readable"
            )
        return np.dtype(kind)

    @property
    def channels(self) -> tuple[str, ...]:
        return GRAY

    def read(self) -> Pixels:
        return self._voxels if "_voxels" in self.__dict__ else self._decoded()

    def slice(self, axis: int, index: int) -> Pixels:
        if not 0 <= index < self.shape[axis]:
            raise IndexError(f"{self.path} has {self.shape[axis]} slices across axis {axis}, none of number {index}")
        return plane_of(self._voxels, axis, index)

    def digest(self) -> str:
        """Of the header and of the file that it names, and of the frame where there are several."""
        files = dict.fromkeys((self._file, data_file(self._file)))
        found = [sha256(file) for file in files] + ([] if self._frame is None else [str(self._frame)])
        return found[0] if len(found) == 1 else hashlib.sha256(" ".join(found).encode()).hexdigest()

    def read_with(self, others: Sequence[ImageHandle]) -> None:
        """Frames of one file share what it holds while they are read one after the other."""
        frames = [one for one in others if isinstance(one, ItkHandle) and one._file == self._file]
        content = SharedContent(self._stored, len(frames))
        for one in frames:
            one._content = content

    @cached_property
    def _voxels(self) -> Pixels:
        return self._decoded()

    def _stored(self) -> NDArray[Any]:
        """All that the file holds, in the order of SimpleITK."""
        package = _package()
        try:
            stored: NDArray[Any] = package.GetArrayFromImage(self._header.Execute())
        except Exception as error:
            raise _broken(self.path, error) from error
        return stored

    def _decoded(self) -> Pixels:
        dtype, stored = self.dtype, self._content.take()
        if self._header.GetNumberOfComponents() > 1:
            stored = stored[..., self._frame]
        elif self._frame is not None:
            stored = stored[self._frame]
        return stored.reshape(self.shape[::-1]).transpose().astype(dtype, copy=False)


class _ItkWriter(Writer):
    """Label volumes on the grid of another volume."""

    suffixes = (".mha", ".nrrd")

    def check(self) -> None:
        _package()

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
        if labels:
            image.SetMetaData("Labels", labels)
        _write(path, image)

    def write_map(self, path: Path, values: NDArray[np.uint16], *, like: ImageHandle | Geometry | None = None) -> None:
        """As float32: these formats have no scaling."""
        _write(path, _image((values / np.float32(FULL)).astype(np.float32), like))


class Itk(Reader):
    """MetaImage and NRRD in one file, or as a header with a file of voxels beside it."""

    name = "itk"
    suffixes = ITK_SUFFIXES
    kind = "volume"
    writer = _ItkWriter()

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ItkHandle:
        """`max_pixels` is of pictures: volumes have a limit of their own (`archive_sizes.MAX_VOXELS`)."""
        return ItkHandle(path)

    def frames(self, path: Path) -> int:
        check_header(path)
        return _axes(path, _read_information(path, path))[1]


def by_simpleitk(path: Path) -> tuple[NDArray[Any], Geometry]:
    """A volume of any format that SimpleITK reads, to compare with what other libraries read.

    Args:
        path: of the file, NIfTI too.

    Returns:
        Its voxels, X×Y×Z, and its grid.

    Raises:
        DataError: naming the file, where SimpleITK cannot read it.
    """
    try:
        image = _package().ReadImage(str(path))
    except RuntimeError as error:
        raise _broken(path, error) from error
    voxels = _package().GetArrayFromImage(image).transpose()
    return voxels, _geometry(path, image, voxels.shape)


def _package() -> Any:
    """SimpleITK, its warnings off: it prints them from C++ without the file's name. Raises `DataError` where it is missing."""
    try:
        package = import_module("SimpleITK")
    except ImportError as error:
        raise DataError("MetaImage and NRRD volumes need SimpleITK: pip install SimpleITK") from error
    package.ProcessObject.SetGlobalWarningDisplay(False)
    return package


def _numbers() -> dict[int, str]:
    """SimpleITK's kinds of voxels → NumPy's."""
    package = _package()
    names = {f"UInt{bits}": f"u{bits // 8}" for bits in (8, 16, 32, 64)}
    names |= {f"Int{bits}": f"i{bits // 8}" for bits in (8, 16, 32, 64)} | {"Float32": "f4", "Float64": "f8"}
    return {getattr(package, f"sitk{part}{name}"): kind for name, kind in names.items() for part in ("", "Vector")}


def _read_information(file: Path, path: Path) -> Any:
    reader = _package().ImageFileReader()
    reader.SetFileName(str(file))
    reader.SetImageIO("MetaImageIO" if is_meta(file) else "NrrdImageIO")  # its own guess stops at a name in capitals
    try:
        reader.ReadImageInformation()
    except Exception as error:
        raise _broken(path, error) from error
    return reader


def _axes(path: Path, header: Any) -> tuple[tuple[int, int, int], int]:
    """Voxels along the three axes, and how many volumes the file holds: along a fourth axis, or as components of its voxels.

    Raises `DataError` naming the file: other axes, or too large.
    """
    size = tuple(int(one) for one in header.GetSize())
    frames = int(header.GetNumberOfComponents())
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    if len(size) == 4 and frames == 1:
        frames = size[3]
    elif len(size) != 3:
        raise DataError(f"{path} has {len(size)} axes ({sizes(size)}); volumes have three")
    if np.prod(size, dtype=np.float64) > MAX_VOXELS:
        raise DataError(f"{path} has {sizes(size)} voxels, above the limit of {MAX_VOXELS:,}; crop or resample it")
    return (size[0], size[1], size[2]), frames


def _geometry(path: Path, header: Any, size: tuple[int, int, int]) -> Geometry:
    axes = header.GetDimension()
    direction = np.array(header.GetDirection(), np.float64).reshape(axes, axes)[:3, :3]
    origin = np.array(header.GetOrigin()[:3], np.float64)
    if not (np.isfinite(direction).all() and np.isfinite(origin).all() and abs(np.linalg.det(direction)) > 1e-6):
        raise DataError(f"{path} has axes or an origin that cannot be; correct its header")
    lengths = np.linalg.norm(direction, axis=0)
    spacing = check_spacing(path, tuple(np.array(header.GetSpacing()[:3]) * lengths))
    check_origin(path, origin, "Offset or space origin")
    return Geometry(size, (float(origin[0]), float(origin[1]), float(origin[2])), direction / lengths, spacing)


def _image(array: NDArray[Any], like: ImageHandle | Geometry | None) -> Any:
    geometry = grid_to_write(like, array)
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(f"a volume to write is uint8, uint16 or float32, not {array.dtype}")
    image = _package().GetImageFromArray(np.ascontiguousarray(array.transpose()))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction.ravel().tolist())
    return image


def _write(path: Path, image: Any) -> None:
    with atomic_path(path) as temporary:
        try:
            _package().WriteImage(image, str(temporary), True)
        except RuntimeError as error:
            raise OSError(f"SimpleITK could not write it ({_reason(error)})") from error


def _broken(path: Path, error: Exception) -> DataError:
    if isinstance(error, MemoryError):
        return DataError(f"{path} does not fit into memory; crop or resample it")
    return DataError(f"{path} is damaged or truncated ({_reason(error)}); restore or remove it")


def _reason(error: Exception) -> str:
    """The last line of what SimpleITK says: those before tell places in its code. Of missing voxels it tells the last error of the
    operating system, whatever that was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[-1].startswith("Reason: "):
        return "its voxels are not all there"
    return lines[-1] if lines else type(error).__name__
