"""Slides in the formats of scanners, through openslide: an extra (`slides`, LGPL-2.1), imported when the first slide is met.

A slide is a picture with smaller copies, in color. Where its file says which part of it was scanned (its bounds), that part is the
picture, as in QuPath. Places that were not scanned have the color of the background.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, RGB, ImageHandle, Reader
from delineate.data.formats.images import check_pixels
from delineate.data.formats.window_place import inside

__all__ = ["SlideHandle", "Slides"]

_IN_SEVERAL = (".mrxs", ".vms", ".vmu")
"""Endings of files whose pixels lie in others, beside them or in a folder of the same name."""
_AT_ONCE = 4096
"""Columns that are asked for at a time: openslide gives four bytes of each pixel."""
_LEAST = 64
"""Height and width from which on the stated size of a tile is believed."""
_USUAL = 256
_COLOR = re.compile(r"[0-9a-fA-F]{6}")


class SlideHandle(ImageHandle):
    """One of the sizes of a slide."""

    def __init__(self, path: Path, slide: Any, level: int = 0, max_pixels: int | None = None) -> None:
        """Raises `DataError` for more than `max_pixels`."""
        self.path, self._slide, self._level = path, slide, level
        told: Mapping[str, str] = slide.properties
        self._zoom = float(slide.level_downsamples[level])
        self._left, self._top, width, height = _bounds(told, slide.dimensions)
        columns, rows = slide.level_dimensions[level]
        if (width, height) != slide.dimensions:
            columns, rows = (max(1, round(side / self._zoom)) for side in (width, height))
        self.shape = rows, columns
        if max_pixels is not None:
            check_pixels((rows, columns), path, max_pixels)
        sides = (_number(told.get(f"openslide.level[{level}].tile-{side}")) or 0 for side in ("height", "width"))
        self.block = _tile(*sides)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def channels(self) -> tuple[str, ...]:
        return RGB

    @property
    def microns(self) -> tuple[float, float] | None:
        told = self._slide.properties
        rows, columns = (_number(told.get(f"openslide.mpp-{axis}")) for axis in "yx")
        return None if rows is None or columns is None else (rows * self._zoom, columns * self._zoom)

    @cached_property
    def levels(self) -> tuple[ImageHandle, ...]:
        if self._level:
            return (self,)
        return (self, *(SlideHandle(self.path, self._slide, level) for level in range(1, self._slide.level_count)))

    def read(self) -> Pixels:
        return self.window(0, 0, *self.shape)

    def slice(self, axis: int, index: int) -> Pixels:
        return self.read()

    def window(self, y: int, x: int, height: int, width: int, *, axis: int = 0, index: int = 0) -> Pixels:
        top, left, height, width = inside(self, y, x, height, width)
        found = np.empty((height, width, 3), np.uint8)
        for start in range(0, width, _AT_ONCE):
            part = found[:, start : start + _AT_ONCE]
            part[...] = self._part(top, left + start, height, part.shape[1])
        return found

    def digest(self) -> str:
        """Of slides in several files, what openslide knows a slide by: its smallest copy and its properties."""
        quick = self._slide.properties.get("openslide.quickhash-1")
        return quick if quick and self.path.suffix.lower() in _IN_SEVERAL else sha256(self.path)

    def _part(self, top: int, left: int, height: int, width: int) -> Pixels:
        """Places are those of the largest size, whatever size is read."""
        place = self._left + round(left * self._zoom), self._top + round(top * self._zoom)
        try:
            pixels = np.asarray(self._slide.read_region(place, self._level, (width, height)))
        except MemoryError as error:
            raise DataError(f"{self.path} does not fit into memory") from error
        except Exception as error:  # openslide's own, of several kinds
            raise DataError(
                f"{self.path}: its pixels are damaged or truncated ({_line(error)}); restore or remove it"
            ) from error
        colors, alpha = pixels[..., :3], pixels[..., 3:]
        if alpha.min() == 255:
            return colors
        share = alpha.astype(np.float32) / 255
        return np.rint(colors * share + self._background * (1 - share)).astype(np.uint8)

    @property
    def _background(self) -> np.ndarray:
        text = self._slide.properties.get("openslide.background-color", "")
        return np.frombuffer(bytes.fromhex(text if _COLOR.fullmatch(text) else "FFFFFF"), np.uint8)


class Slides(Reader):
    """Slides of Aperio, Hamamatsu, Leica, MIRAX, Sakura, Ventana and Zeiss. TIFF files under their own name are read without."""

    name = "slides"
    suffixes = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi")
    windowed = True

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        with suppress(OSError):
            if not path.stat().st_size:
                raise DataError(f"{path} is empty (zero bytes); restore or remove it")
        if not path.is_file():
            raise DataError(f"cannot read {path}: no such file")
        package = _openslide(path)
        try:
            slide = package.OpenSlide(path)
        except package.OpenSlideUnsupportedFormatError as error:
            raise DataError(f"{path} is no slide that openslide reads; restore it, or export it as TIFF") from error
        except Exception as error:
            raise DataError(f"{path} is a damaged slide ({_line(error)}); restore or remove it") from error
        return SlideHandle(path, slide, max_pixels=max_pixels)


@cache
def _package() -> Any:
    return import_module("openslide")


def _openslide(path: Path) -> Any:
    try:
        return _package()
    except ImportError as error:  # the package, or the library that it looks for
        raise DataError(
            f'{path} is a slide, which openslide reads: pip install "delineate-seg[slides]" (openslide-python and openslide-bin)'
        ) from error


def _bounds(told: Mapping[str, str], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what was scanned; all where the file does not tell, or tells what cannot be."""
    names = ("bounds-x", "bounds-y", "bounds-width", "bounds-height")
    with suppress(KeyError, ValueError):
        left, top, width, height = (int(told[f"openslide.{name}"]) for name in names)
        if min(left, top) >= 0 and min(width, height) > 0 and left + width <= size[0] and top + height <= size[1]:
            return left, top, width, height
    return 0, 0, *size


def _tile(height: float, width: float) -> tuple[int, int]:
    return (int(height), int(width)) if min(height, width) >= _LEAST else (_USUAL, _USUAL)


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return value if isfinite(value) and value > 0 else None


def _line(error: Exception) -> str:
    """What openslide says, in one short line."""
    return " ".join(str(error).split())[:120] or type(error).__name__
