"""An array of three axes in a .npz or HDF5 file as one volume: `FILE#ARRAY@volume`. The first axis counts its slices.

As in TIFF stacks, a volume's axes are rows, columns and planes; slices across the last are the array's own.
"""

from __future__ import annotations

import hashlib
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

__all__ = ["PackedVolume", "as_volume"]

_FEW = (1, 3, 4)
"""Lengths of an axis that may be that of colors."""
_MICROMETER = 1e-3
"""In millimeters."""


def as_volume(address: Address) -> Address | None:
    """The address of an array as a volume where it can be nothing else: three axes, none of which may be colors; else None.

    Raises `DataError` for a file that cannot be read.
    """
    if address.slice is not None or address.volume:
        return None
    shape = trailing_dropped(array_shapes(address.file).get(address.array, ()))
    if len(shape) != 3 or shape[0] in _FEW or shape[2] in _FEW:
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
        stored = trailing_dropped(shapes[address.array])
        if len(stored) != 3 or min(stored) < 1:
            raise DataError(
                f"{path} is an array of {sizes(shapes[address.array])}; a volume has three axes, slices first"
            )
        self.shape = rows, columns, planes = stored[1], stored[2], stored[0]
        stated = element_size(address)
        told = len(stated) == 3 and all(isfinite(size) and size > 0 for size in stated)
        spacing = (stated[1] * _MICROMETER, stated[2] * _MICROMETER, stated[0] * _MICROMETER) if told else None
        self.geometry = Geometry.of_stack((rows, columns, planes), spacing)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        return self._plane(0).dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return GRAY

    def read(self) -> Pixels:
        return self._voxels if "_voxels" in self.__dict__ else self._decoded()

    def slice(self, axis: int, index: int) -> Pixels:
        if not 0 <= index < self.shape[axis]:
            raise IndexError(f"{self.path} has {self.shape[axis]} slices across axis {axis}, none of number {index}")
        return self._plane(index) if axis == 2 else plane_of(self._voxels, axis, index)

    def digest(self) -> str:
        """Of the file and of the array's name."""
        return hashlib.sha256(f"{sha256(self._address.file)} {self._address.array}".encode()).hexdigest()

    @cached_property
    def _voxels(self) -> Pixels:
        return self._decoded()

    def _decoded(self) -> Pixels:
        array = self._numbers(read_array(self._address, self._max_pixels))
        return np.moveaxis(array.reshape(self.shape[2], *self.shape[:2]), 0, 2)

    def _plane(self, index: int) -> Pixels:
        one = Address(self._address.file, self._address.array, index)
        return self._numbers(read_array(one, self._max_pixels)).reshape(self.shape[:2])

    def _numbers(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.dtype.kind not in "biuf":
            raise DataError(f"{self.path} holds {array.dtype}; a volume is an array of whole numbers or floats")
        return array.astype(array.dtype.newbyteorder("="), copy=False)
