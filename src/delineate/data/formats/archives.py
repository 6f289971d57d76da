"""Pictures inside of archives: NumPy's .npz and HDF5 files that hold an image and its labels, as single slices or whole volumes,
and .npy files that hold many pictures each.

A picture has an address, which stands wherever a path does: `FILE#ARRAY` is a whole array, `FILE#ARRAY.17` its slice 17 (the
first axis counts slices, from 0); `@signed` at the end says that fractions go from -1 to 1, `@volume` that an array of three axes
is one volume, `@volume#1` that a channel of an array of four is (`data.formats.packed_volume`). `read_plane` gives the bytes of a
.npy file, so that a plane is hashed, cached and decoded as the content of any other file is.

h5py reads HDF5; it is an extra (`pip install h5py`) and imported only when such a file is met.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats import npz
from delineate.data.formats.archive_sizes import check_chunks, check_size
from delineate.data.formats.npz import PARSER

__all__ = [
    "ONLY",
    "Address",
    "array_shapes",
    "as_pixels",
    "decode_plane",
    "element_size",
    "packed_stem",
    "plane_size",
    "read_array",
    "read_plane",
    "trailing_dropped",
]

_PACKED_SUFFIXES = (".npy.h5", ".npz", ".h5", ".hdf5")
"""`.npy.h5` is what TransUNet calls its volumes."""
ONLY = "array"
"""What the array of a .npy file is called in addresses."""
_SLACK = 1e-3
"""Fractions may lie this far outside of their range, as interpolated ones do; they are clipped."""

_ADDRESS = re.compile(
    r"(?P<file>.+(?:\.npz|\.npy|\.h5|\.hdf5))#(?P<array>[^#@/]+?)(?:\.(?P<slice>\d+))?(?P<how>@signed|@volume)?(?P<channel>(?<=@volume)#\d+)?"
)
_FULL = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Address:
    """Where a picture lies."""

    file: Path
    array: str
    slice: int | None = None
    """None: the array is the picture."""
    signed: bool = False
    """Whether floats go from -1 to 1 instead of from 0 to 1."""
    volume: bool = False
    """Whether the array is one volume."""
    channel: int | None = None
    """Of a volume with several channels, from 0."""

    def __str__(self) -> str:
        part = "" if self.slice is None else f".{self.slice}"
        how = "@volume" if self.volume else "@signed" if self.signed else ""
        which = "" if self.channel is None else f"#{self.channel}"
        return f"{self.file.as_posix()}#{self.array}{part}{how}{which}"

    @property
    def name(self) -> str:
        """What the picture is called: the file's name, and of a volume the slice's number: `case0001_slice_017`."""
        stem = packed_stem(self.file) or self.file.stem
        return stem if self.slice is None else f"{stem}_slice_{self.slice:03d}"

    @classmethod
    def parse(cls, path: Path | str) -> Address | None:
        """The address that a path is; None for the path of a file."""
        match = _ADDRESS.fullmatch(str(path))
        if match is None:
            return None
        number = match["slice"]
        if number is not None and match["how"] == "@volume":
            return None
        place = None if number is None else int(number)
        channel = None if match["channel"] is None else int(match["channel"][1:])
        how = match["how"]
        return cls(Path(match["file"]), match["array"], place, how == "@signed", how == "@volume", channel)


def packed_stem(path: Path) -> str:
    """The name of a packed file without its suffix; '' for a file of another kind."""
    suffix = next((suffix for suffix in _PACKED_SUFFIXES if path.name.lower().endswith(suffix)), None)
    return path.name[: -len(suffix)] if suffix else ""


def read_plane(address: Address, max_pixels: int | None = None) -> bytes:
    """A picture as the bytes of a .npy file, without axes of length 1 (H×W×1, 1×H×W), colors last.

    Sizes are known from headers before anything is unpacked. Raises `DataError` naming the file: missing, damaged, without that
    array or slice, larger than `max_pixels`; or h5py is missing.
    """
    array = _without_single_axes(read_array(address, max_pixels))
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def read_array(address: Address, max_pixels: int | None = None) -> NDArray[Any]:
    """An array, or a slice of it, as it is stored. Raises `DataError` as `read_plane`."""
    read = {".npz": _npz_plane, ".npy": _npy_plane}.get(address.file.suffix.lower(), _hdf5_plane)
    array: NDArray[Any] = _guarded(address.file, lambda: read(address, max_pixels))
    return array


def element_size(address: Address) -> tuple[float, ...]:
    """What an HDF5 array says of the distances of its voxels in micrometers (`element_size_um`, as ilastik and Fiji write it),
    slices first; nothing where it does not. Raises `DataError` as `read_plane`."""
    if address.file.suffix.lower() in (".npz", ".npy"):
        return ()

    def read() -> tuple[float, ...]:
        with _h5py().File(address.file, "r") as arrays:
            stated = arrays[_known(address.array, arrays, address.file)].attrs.get("element_size_um", ())
            return tuple(float(size) for size in np.ravel(stated)[:4])

    found: tuple[float, ...] = _guarded(address.file, read)
    return found


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of a packed file with their shapes, read from headers alone. Raises `DataError` as `read_plane`."""
    shapes = {".npz": _npz_shapes, ".npy": _npy_shapes}.get(path.suffix.lower(), _hdf5_shapes)
    return _guarded(path, lambda: shapes(path))


def decode_plane(content: bytes) -> NDArray[Any]:
    """The array of `read_plane`'s bytes."""
    with PARSER:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def plane_size(content: bytes) -> tuple[int, int]:
    """Height and width, from the first bytes alone."""
    stream = io.BytesIO(content)
    np.lib.format.read_magic(stream)
    with PARSER:
        shape = np.lib.format.read_array_header_1_0(stream)[0]
    return shape[0], shape[1]


def as_pixels(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """The pixels of a plane: floats are fractions and become 16-bit numbers, 65535 for 1; others stay as they are.

    Signed fractions (`@signed`) are halved and raised: -1 becomes 0. Raises `DataError` naming `path` for floats outside of
    their range and for such as are not numbers.
    """
    if array.dtype.kind != "f":
        return array
    address = Address.parse(path)
    low = -1.0 if address is not None and address.signed else 0.0
    if not np.isfinite(array).all():
        raise DataError(f"{path} has pixels that are not numbers (NaN or infinite); mend the array")
    least, most = float(array.min(initial=np.inf)), float(array.max(initial=-np.inf))
    if least < low - _SLACK or most > 1 + _SLACK:
        raise DataError(
            f"{path} has values from {least:g} to {most:g}, but floats are read as fractions from {low:g} to 1; "
            "scale the images of the whole set by one rule"
        )
    fractions = (array.astype(np.float64) - low) / (1 - low)
    return np.rint(np.clip(fractions, 0, 1) * _FULL).astype(np.uint16)


def trailing_dropped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of length 1 at its end, as channels of gray pictures are stored; two axes stay."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _without_single_axes(picture: NDArray[Any]) -> NDArray[Any]:
    picture = picture.reshape(trailing_dropped(picture.shape))
    while picture.ndim > 2 and picture.shape[0] == 1 and (picture.ndim > 3 or picture.shape[-1] not in (3, 4)):
        picture = picture[0]
    if picture.ndim == 3 and picture.shape[0] in (3, 4) and picture.shape[2] not in (3, 4):
        picture = np.moveaxis(picture, 0, -1)  # colors first, as networks take them
    return picture


def _npz_plane(address: Address, max_pixels: int | None) -> NDArray[Any]:
    headers = npz.read_headers(address.file)
    shape, itemsize = headers[_known(address.array, headers, address.file)]
    check_size(address.file, shape, itemsize, address.slice, max_pixels)
    if address.slice is None:
        return npz.read_whole(address.file, address.array)
    _check_slice(shape, address)
    return npz.read_slice(address.file, address.array, address.slice)


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, (shape, _) in npz.read_headers(path).items()}


def _npy_plane(address: Address, max_pixels: int | None) -> NDArray[Any]:
    """Of a file that is one array, which is called `ONLY`. It lies unpacked, so that a slice is read alone."""
    with PARSER:
        array = np.load(address.file, mmap_mode="r", allow_pickle=False)
    _known(address.array, {ONLY: array}, address.file)
    check_size(address.file, array.shape, array.dtype.itemsize, address.slice, max_pixels)
    if address.slice is None:
        return array
    _check_slice(array.shape, address)
    return array[address.slice]


def _npy_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    with PARSER:
        return {ONLY: np.load(path, mmap_mode="r", allow_pickle=False).shape}


def _hdf5_plane(address: Address, max_pixels: int | None) -> NDArray[Any]:
    with _h5py().File(address.file, "r") as arrays:
        array = arrays[_known(address.array, arrays, address.file)]
        check_size(address.file, array.shape, array.dtype.itemsize, address.slice, max_pixels)
        check_chunks(address.file, array, address.slice)
        if address.slice is None:
            return array[()]
        _check_slice(array.shape, address)
        return array[address.slice]


def _hdf5_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    with _h5py().File(path, "r") as arrays:
        return {name: array.shape for name, array in arrays.items() if hasattr(array, "shape")}


def _known(name: str, arrays: Mapping[str, Any], path: Path) -> str:
    if name not in arrays:
        raise DataError(f"{path} has no array '{name}', only {', '.join(sorted(arrays)) or 'none'}; restore the file")
    return name


def _check_slice(shape: Sequence[int], address: Address) -> None:
    assert address.slice is not None
    if len(shape) < 2 or address.slice >= shape[0]:
        size = "×".join(map(str, shape))
        raise DataError(f"{address.file} has no slice {address.slice} of '{address.array}' ({size}); restore the file")


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """Readers raise almost anything on damaged bytes; files that cannot be opened have a line of their own."""
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise DataError(f"{path} is empty (zero bytes); restore or remove it")
        return read()
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory; save its slices as images") from error
    except Exception as error:
        if isinstance(error, OSError) and error.filename and error.strerror:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is damaged or truncated ({reason}); restore or remove it") from error


def _h5py() -> Any:
    try:
        return import_module("h5py")
    except ImportError as error:
        raise DataError("HDF5 files need h5py: pip install h5py") from error
