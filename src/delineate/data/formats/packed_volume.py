"""An array of three axes in a .npz or HDF5 file as one volume: `FILE#ARRAY@volume`. The first axis counts its slices.

Of four axes, the first or the last is that of channels, whichever is short; each channel is a volume, `FILE#ARRAY@volume#1`.
As in TIFF stacks, a volume's axes are rows, columns and planes; slices across the last are the array's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.geometry import Geometry, sizes
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.archives import Address, array_shapes, element_size, read_array, trailing_dropped
from delineate.data.formats.contract import GRAY, ImageHandle, plane_of
from delineate.data.formats.frames import frames_needed
from delineate.data.formats.shared_content import SharedContent

__all__ = ["PackedVolume", "as_volume", "channel_axis"]

_FEW = (1, 3, 4)
"""Lengths of an axis that may be that of colors."""
_MOST_CHANNELS = 16
"""An axis up to this length may be that of channels, if the axis at the other end is longer."""
_MICROMETER = 1e-3
"""In millimeters."""


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Which axis of an array of four counts channels.

    Args:
        shape: of the array, without axes of length 1 at its end.

    Returns:
        0 or 3; None where that is not clear, or the axes are not four.

    Example:
        >>> from delineate.data.formats.packed_volume import channel_axis
        >>> channel_axis((4, 155, 240, 240)), channel_axis((155, 240, 240, 4)), channel_axis((4, 240, 240, 4))
        (0, 3, None)
    """
    if len(shape) != 4 or (shape[0] <= _MOST_CHANNELS) == (shape[3] <= _MOST_CHANNELS):
        return None
    return 0 if shape[0] <= _MOST_CHANNELS else 3


def as_volume(address: Address) -> Address | None:
    """The address of an array as a volume where it can be nothing else: three axes, none of which may be colors, or these with
    one of channels; else None.

    Raises `DataError` for a file that cannot be read.
    """
    if address.slice is not None or address.volume:
        return None
    shape = trailing_dropped(array_shapes(address.file).get(address.array, ()))
    flat = len(shape) != 3 or shape[0] in _FEW or shape[2] in _FEW
    if flat and channel_axis(shape) is None:
        return None
    return replace(address, signed=False, volume=True)


class PackedVolume(ImageHandle):
    """An array whose shape has been read. Slices of HDF5 are read one by one; an array of .npz is unpacked as a whole."""

    geometry: Geometry

    def __init__(self, path: Path, address: Address, max_pixels: int) -> None:
        """Raises `DataError` naming the file: missing, damaged, without that array, or one of other axes."""
        self.path, self._address, self._max_pixels = path, address, max_pixels
        shapes = array_shapes(address.file)
        if address.array not in shapes:
            raise DataError(
                f"{address.file} has no array '{address.array}', only {', '.join(sorted(shapes)) or 'none'}"
            )
        stored, frames = trailing_dropped(shapes[address.array]), 1
        self._axis = channel_axis(stored)
        stated = element_size(address)
        if self._axis is not None:
            frames = stored[self._axis]
            stored = stored[1:] if self._axis == 0 else stored[:3]
            stated = stated[1:] if self._axis == 0 and len(stated) == 4 else stated[:3]
        if len(stored) != 3 or min(stored) < 1:
            more = ", beside that of channels, which is the first or the last" if len(stored) > 3 else ""
            raise DataError(
                f"{path} is an array of {sizes(shapes[address.array])}; a volume has three axes, slices first{more}"
            )
        self._channel = frames_needed(path, address.channel, frames)
        self._content = SharedContent(self._stored)
        self.shape = rows, columns, planes = stored[1], stored[2], stored[0]
        told = len(stated) == 3 and all(isfinite(size) and size > 0 for size in stated)
        spacing = (stated[1] * _MICROMETER, stated[2] * _MICROMETER, stated[0] * _MICROMETER) if told else None
        self.geometry = Geometry.of_stack((rows, columns, planes), spacing)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        return (self._plane(0) if self._axis is None else self._voxels).dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return GRAY

    def read(self) -> Pixels:
        return self._voxels if "_voxels" in self.__dict__ else self._decoded()

    def slice(self, axis: int, index: int) -> Pixels:
        if not 0 <= index < self.shape[axis]:
            raise IndexError(f"{self.path} has {self.shape[axis]} slices across axis {axis}, none of number {index}")
        alone = axis == 2 and self._axis is None
        return self._plane(index) if alone else plane_of(self._voxels, axis, index)

    def digest(self) -> str:
        """Of the file and of the array's name, and of the channel where there are several."""
        which = "" if self._channel is None else f" {self._channel}"
        return hashlib.sha256(f"{sha256(self._address.file)} {self._address.array}{which}".encode()).hexdigest()

    def read_with(self, others: Sequence[ImageHandle]) -> None:
        """Channels of one array share what it holds while they are read one after the other."""
        alike = [one for one in others if isinstance(one, PackedVolume) and one._place == self._place]
        content = SharedContent(self._stored, len(alike))
        for one in alike:
            one._content = content

    @property
    def _place(self) -> tuple[Path, str]:
        return self._address.file, self._address.array

    @cached_property
    def _voxels(self) -> Pixels:
        return self._decoded()

    def _stored(self) -> NDArray[Any]:
        whole = Address(self._address.file, self._address.array)
        return self._numbers(read_array(whole, self._max_pixels))

    def _decoded(self) -> Pixels:
        array = self._content.take()
        if self._channel is not None:
            array = array[self._channel] if self._axis == 0 else array[..., self._channel]
        return np.moveaxis(array.reshape(self.shape[2], *self.shape[:2]), 0, 2)

    def _plane(self, index: int) -> Pixels:
        one = Address(self._address.file, self._address.array, index)
        return self._numbers(read_array(one, self._max_pixels)).reshape(self.shape[:2])

    def _numbers(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.dtype.kind not in "biuf":
            raise DataError(f"{self.path} holds {array.dtype}; a volume is an array of whole numbers or floats")
        return array.astype(array.dtype.newbyteorder("="), copy=False)
