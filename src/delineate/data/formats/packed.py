"""Pictures and volumes inside of .npz and HDF5 files as a format, by their addresses: `FILE#ARRAY`, `FILE#ARRAY.17`,
`FILE#ARRAY@volume`, `FILE#ARRAY@volume#1`."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.geometry import sizes
from delineate.data.formats.archives import Address, array_shapes, read_plane, trailing_dropped
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle, Reader
from delineate.data.formats.packed_volume import PackedVolume, as_volume, channel_axis
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
        if address.volume:
            return PackedVolume(path, address, max_pixels)
        if as_volume(address) is not None:
            shape = sizes(array_shapes(address.file)[address.array])
            raise DataError(
                f"{path} is an array of {shape}: as a volume it is {path.name}@volume, its slices {path.name}.0 …"
            )
        return PictureHandle(path, read_plane(address, max_pixels), max_pixels)

    def frames(self, path: Path) -> int:
        """Channels of an array that is a volume; 1 of an address of one."""
        address = Address.parse(path)
        if address is None or not address.volume or address.channel is not None:
            return 1
        shape = trailing_dropped(array_shapes(address.file).get(address.array, ()))
        axis = channel_axis(shape)
        return 1 if axis is None else shape[axis]

    def volume_at(self, path: Path) -> bool:
        """As the address says, without reading a file."""
        address = Address.parse(path)
        return address is not None and address.volume
