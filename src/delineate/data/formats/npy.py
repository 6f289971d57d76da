"""NumPy's .npy files as a format: one picture or mask a file, as an array of numbers. Nothing else is unpacked: no Python objects.

H×W            gray
H×W×3, H×W×4   RGB, RGBA; also 3×H×W and 4×H×W, unless both ends could be the colors
H×W×1, 1×H×W   gray
"""

from __future__ import annotations

import hashlib
import io
import math
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import sizes
from delineate.data.core.input_spec import Pixels
from delineate.data.core.labels import whole
from delineate.data.core.mask_values import RawMask
from delineate.data.formats import images
from delineate.data.formats.archive_sizes import check_size
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, GRAY, RGB, RGBA, ImageHandle, Reader
from delineate.data.formats.npz import PARSER

__all__ = ["Npy", "stated"]

_COLORS = (3, 4)
_CURE = "save each picture as a file H×W or H×W×3, or all of them in one .npz as train_images and train_label (N×H×W)"


class _NpyHandle(ImageHandle):
    """An array whose header has been read."""

    def __init__(self, path: Path, content: bytes, max_pixels: int) -> None:
        """Raises `DataError` naming the file: damaged, no plain numbers, a shape that is no picture's, more than `max_pixels`."""
        self.path, self._content = path, content
        shape, dtype = stated(content, path)
        check_size(path, shape, dtype.itemsize, None, max_pixels)
        self._axes = _axes(shape, path)
        self.shape = (shape[self._axes[0]], shape[self._axes[1]])
        self._channels = shape[self._axes[2]] if len(self._axes) == 3 else 1
        self._stored = dtype

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._pixels.dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return {1: GRAY, 3: RGB, 4: RGBA}[self._channels]

    def read(self) -> Pixels:
        return self._pixels

    def slice(self, axis: int, index: int) -> Pixels:
        if index:
            raise IndexError(f"a picture has one slice, not a slice {index}")
        return self._pixels

    def labels(self) -> RawMask:
        array = self._array
        if array.ndim == 3 and float(array.min()) >= 0 and (array.sum(axis=2) == 1).all():
            raise DataError(
                f"{self.path} has a plane of 0 and 1 for each class; save the class of each pixel: planes.argmax over that axis"
            )
        with images.named(self.path):
            numbers = images.single_channel(array.astype(np.uint8) if array.dtype == np.bool_ else array)
        if numbers.ndim == 3:
            return RawMask(images.typed(numbers, self.path), colored=True)
        return RawMask(whole(numbers, self.path))

    def digest(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    @cached_property
    def _pixels(self) -> Pixels:
        array = self._array
        return images.typed(array * np.uint8(255) if array.dtype == np.bool_ else array, self.path)

    @property
    def _array(self) -> NDArray[Any]:
        """H×W or H×W×3/4 in the machine's byte order. Raises `DataError` for a file that is cut off."""
        with images.named(self.path), PARSER:
            array = np.lib.format.read_array(io.BytesIO(self._content), allow_pickle=False)
        kept = np.transpose(array, self._axes + tuple(at for at in range(array.ndim) if at not in self._axes))
        shape = self.shape if self._channels == 1 else (*self.shape, self._channels)
        return np.ascontiguousarray(kept.reshape(shape), self._stored.newbyteorder("="))


class Npy(Reader):
    """Arrays in files of their own."""

    name = "npy"
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        return _NpyHandle(path, images.read_content(path), max_pixels)


def stated(content: bytes, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the numbers, from the first bytes. Raises `DataError` naming the file where they are no plain numbers."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with PARSER:
            shape, _, dtype = header(stream)
    except Exception as error:
        raise DataError(f"{path} is damaged, or no NumPy array ({error}); restore or remove it") from error
    if dtype.hasobject:
        raise DataError(
            f"{path} holds Python objects (a pickle), which are never opened; save a plain array of numbers"
        )
    if dtype.kind not in "biuf":
        raise DataError(f"{path} holds {dtype}; a picture or mask is an array of whole numbers or floats")
    return shape, dtype


def _axes(shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """Which axes are rows, columns and, where there are several, channels. Raises `DataError` for what is no single picture."""
    long = [at for at, size in enumerate(shape) if size != 1]
    if math.prod(shape) == 0 or len(shape) < 2:
        raise DataError(f"{path} is an array of {sizes(shape) or 'one number'}, which is no picture H×W")
    if len(shape) == 2 or len(long) < 2:
        return (0, 1) if len(shape) == 2 else _thin(shape, path)
    if len(long) == 2:
        return long[0], long[1]
    if len(long) > 3:
        raise DataError(f"{path} is an array of {sizes(shape)}, which is a stack of pictures: {_CURE}")
    first, last = (shape[at] in _COLORS for at in (long[0], long[2]))
    if first and last:
        raise DataError(
            f"{path} is an array of {sizes(shape)}, and the first or the last axis may be the colors: save it as PNG"
        )
    if last:
        return long[0], long[1], long[2]
    if first:
        return long[1], long[2], long[0]
    raise DataError(
        f"{path} is an array of {sizes(shape)}: a volume, a stack of pictures or a picture of {shape[-1]} channels, which is not "
        f"readable in this form; {_CURE}, or volumes as .nii.gz"
    )


def _thin(shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """A picture of a single row, column or pixel, with further axes of length 1."""
    if len(shape) > 3:
        raise DataError(f"{path} is an array of {sizes(shape)}, which is no picture H×W")
    return (0, 1) if shape[2] == 1 else (1, 2)
