"""Slides in DICOM (whole slide microscopy) as pictures with smaller copies. Only the tiles that a window touches are decoded."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.contract import GRAY, RGB, ImageHandle
from delineate.data.formats.dicom.header import Frame
from delineate.data.formats.dicom.pixels import COLORS, GRAYS
from delineate.data.formats.dicom.series import Series
from delineate.data.formats.dicom.slide_tiles import SlideTiles
from delineate.data.formats.images import check_pixels
from delineate.data.formats.window_place import inside

__all__ = ["DicomSlide"]

_PALETTE = "PALETTE COLOR"
_WHITE = 255


class DicomSlide(ImageHandle):
    """One of the sizes of a slide. Headers have been read."""

    def __init__(self, path: Path, series: Series, max_pixels: int, level: int = 0) -> None:
        """Raises `DataError` for kinds of pixels that are not read, and for more than `max_pixels`."""
        self.path, self.series, self._level = path, series, level
        header = self._header = series.frames[level].header
        assert header.matrix is not None, "a slide has one"
        self.shape, self.block = header.matrix, (header.rows, header.columns)
        self.modality = series.modality or None
        if header.photometric not in GRAYS + COLORS or header.photometric == _PALETTE or header.signed:
            kind = header.photometric or "an unknown kind of"
            raise DataError(f"{header.path} is a slide of {kind} pixels, which is not readable; convert it to RGB")
        check_pixels(header.matrix, path, max_pixels)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The first frame of each of its sizes."""
        return self.series.frames

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self._header.bits <= 8 else np.uint16)

    @property
    def channels(self) -> tuple[str, ...]:
        return RGB if self._header.samples == 3 else GRAY

    @property
    def microns(self) -> tuple[float, float] | None:
        """By the pixel spacing of the largest size."""
        first = self.series.frames[0]
        spacing, whole = first.spacing or first.header.pixel_size, first.header.matrix
        if spacing is None or whole is None:
            return None
        rows, columns = (
            1000 * size * all_of / own for size, all_of, own in zip(spacing, whole, self.shape, strict=True)
        )
        return rows, columns

    @cached_property
    def levels(self) -> tuple[ImageHandle, ...]:
        if self._level:
            return (self,)
        further = range(1, len(self.series.frames))
        return (self, *(DicomSlide(self.path, self.series, 1 << 62, level) for level in further))

    @property
    def notes(self) -> tuple[str, ...]:
        return self.series.notes

    def read(self) -> Pixels:
        return self.window(0, 0, *self.shape)

    def slice(self, axis: int, index: int) -> Pixels:
        return self.read()

    def window(self, y: int, x: int, height: int, width: int, *, axis: int = 0, index: int = 0) -> Pixels:
        top, left, height, width = inside(self, y, x, height, width)
        rows, columns = self._header.rows, self._header.columns
        colors = (3,) if self._header.samples == 3 else ()
        found = np.full((height, width, *colors), _WHITE if colors else 0, self.dtype)
        for row in range(top // rows, -(-(top + height) // rows)):
            for column in range(left // columns, -(-(left + width) // columns)):
                if (tile := self._tiles.tile(row, column)) is not None:
                    _put(found, tile, row * rows - top, column * columns - left)
        if self._header.photometric == "MONOCHROME1":
            return (self.dtype.type(2**self._header.bits - 1) - found).astype(self.dtype)
        return found

    def digest(self) -> str:
        """Of the files of all sizes."""
        found = [sha256(frame.path) for frame in self.series.frames]
        return found[0] if len(found) == 1 else hashlib.sha256(" ".join(found).encode()).hexdigest()

    @cached_property
    def _tiles(self) -> SlideTiles:
        return SlideTiles(self._header)


def _put(window: Pixels, tile: Pixels, down: int, across: int) -> None:
    """Lay a tile into a window, beyond which it may reach; its first pixel lies at row `down`, column `across`."""
    inner = window[max(0, down) : down + len(tile), max(0, across) : across + tile.shape[1]]
    first, left = max(0, -down), max(0, -across)
    inner[...] = tile[first : first + len(inner), left : left + inner.shape[1]]
