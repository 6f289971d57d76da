"""Pictures inside of .npz and HDF5 files as a format: each has an address, `FILE#ARRAY` or `FILE#ARRAY.17`."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.formats.archives import Address, array_shapes, read_plane
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle, Reader
from delineate.data.formats.pictures import PictureHandle

__all__ = ["Packed"]


class Packed(Reader):
    """A picture in a packed file; the file itself is many of them, and opened by their addresses."""

    name = "packed"
    suffixes = (".npz", ".h5", ".hdf5")
    kind = "packed"

    def sniff(self, path: Path, first: bytes) -> bool:
        return Address.parse(path) is not None

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        address = Address.parse(path)
        if address is None:
            arrays = ", ".join(sorted(array_shapes(path))) or "none"
            raise DataError(f"{path} is a packed file with the arrays {arrays}: give one, such as {path}#image")
        return PictureHandle(path, read_plane(address, max_pixels), max_pixels)
