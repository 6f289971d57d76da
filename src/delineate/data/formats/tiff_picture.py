"""A picture in a TIFF file, large or small: read whole as other pictures are, or by windows, at each of the sizes that it holds."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from delineate.data.core.input_spec import Pixels
from delineate.data.formats import images
from delineate.data.formats.contract import GRAY, RGB, RGBA, ImageHandle
from delineate.data.formats.pictures import PictureHandle
from delineate.data.formats.tiff_directory import Content, Directory, smaller_copies
from delineate.data.formats.tiff_scale import microns_of
from delineate.data.formats.tiff_windows import TiffWindows
from delineate.data.formats.window_place import inside

__all__ = ["TiffPicture"]

_MAPPED = 1 << 25
"""Bytes from which on a file is looked into in place of being read."""


class TiffPicture(PictureHandle):
    """A file with one picture. Its header has been read; pixels are unpacked when they are asked for."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        """Raises `DataError` as `PictureHandle`."""
        super().__init__(path, _content(path), max_pixels)
        self._windows: TiffWindows | None = None
        self._directory = self._header.directory
        if self._directory is not None:
            with images.named(path):
                self._windows = TiffWindows(self._content, self._directory)
            self.block = self._windows.block

    @property
    def dtype(self) -> np.dtype[Any]:
        return super().dtype if self.block is None else self._corner.dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return super().channels if self.block is None else _channels(self._corner)

    @property
    def microns(self) -> tuple[float, float] | None:
        return None if self._directory is None else microns_of(self._directory)

    @property
    def levels(self) -> tuple[ImageHandle, ...]:
        if self._directory is None:
            return (self,)
        with images.named(self.path):
            copies = smaller_copies(self._content, self._directory)
            return (self, *(_Copy(self, self._content, copy) for copy in copies))

    def window(self, y: int, x: int, height: int, width: int, *, axis: int = 0, index: int = 0) -> Pixels:
        if self.block is None or self._windows is None:
            return super().window(y, x, height, width, axis=axis, index=index)
        return _window(self, self._windows, y, x, height, width)

    @cached_property
    def _corner(self) -> Pixels:
        return self.window(0, 0, 1, 1)


class _Copy(ImageHandle):
    """A smaller copy of a picture, in the same file."""

    def __init__(self, picture: TiffPicture, content: Content, directory: Directory) -> None:
        self.path, self.shape, self._picture = picture.path, (directory.height, directory.width), picture
        self._windows = TiffWindows(content, directory)
        self.block = self._windows.block or self.shape  # small enough to be unpacked whole

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._picture.dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return self._picture.channels

    @property
    def microns(self) -> tuple[float, float] | None:
        whole, (rows, columns) = self._picture.microns, self._picture.shape
        return None if whole is None else (whole[0] * rows / self.shape[0], whole[1] * columns / self.shape[1])

    def read(self) -> Pixels:
        return self.window(0, 0, *self.shape)

    def slice(self, axis: int, index: int) -> Pixels:
        return self.read()

    def window(self, y: int, x: int, height: int, width: int, *, axis: int = 0, index: int = 0) -> Pixels:
        return _window(self, self._windows, y, x, height, width)


def _window(handle: ImageHandle, windows: TiffWindows, y: int, x: int, height: int, width: int) -> Pixels:
    """The part of a window that lies inside of the picture."""
    top, left, height, width = inside(handle, y, x, height, width)
    with images.named(handle.path):
        return images.typed(windows.read(top, left, height, width), handle.path)


def _channels(pixels: Pixels) -> tuple[str, ...]:
    return GRAY if pixels.ndim == 2 else {3: RGB, 4: RGBA}[pixels.shape[2]]


def _content(path: Path) -> Content:
    try:
        large = path.stat().st_size >= _MAPPED
    except OSError:
        large = False
    return images.mapped(path) if large else images.read_content(path)
