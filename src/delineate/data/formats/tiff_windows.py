"""Windows of a TIFF picture: only the strips or tiles that a window touches are unpacked.

Such a part is read as a small TIFF of its own, by the same code as a whole picture, so that its numbers are the same. What is
packed as JPEG, which a whole picture leaves to libtiff, is unpacked here segment by segment.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from delineate.data.formats import tiff
from delineate.data.formats import tiff_directory as tags
from delineate.data.formats.orientation import UPRIGHT
from delineate.data.formats.tiff_directory import Content, Directory, Tag

__all__ = ["TiffWindows"]

_JPEG, _RGB = 7, 2
_LARGEST = 1 << 26
"""Pixels of a strip or a tile, above which a window is as dear as the whole picture."""
_START, _END = b"\xff\xd8", b"\xff\xd9"
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
"""The marker by which a JPEG says what its three channels are; the next byte is 0 for RGB and 1 for YCbCr."""


class TiffWindows:
    """The windows of one page."""

    def __init__(self, content: Content, directory: Directory) -> None:
        """Raises whatever parsing raises on a damaged directory."""
        self._content, self._directory = content, directory
        compression = directory.one(tags.COMPRESSION, tags.UNCOMPRESSED)
        self._jpeg = tiff.by_pillow(directory) and compression == _JPEG
        self._grid = _Grid.of(directory)
        apart = directory.orientation == UPRIGHT and (self._jpeg or not tiff.by_pillow(directory))
        grid = self._grid
        several, small = (grid.down, grid.across) != (1, 1), grid.rows * grid.columns <= _LARGEST
        self.block = (grid.rows, grid.columns) if apart and several and small else None
        """Height and width of what is unpacked at once; None where that is all of the picture, or windows cannot be had."""

    def read(self, y: int, x: int, height: int, width: int) -> NDArray[Any]:
        """The pixels of a window that lies inside of the picture, as `tiff.read_pixels` has them. Raises as that."""
        grid = self._grid
        down = range(y // grid.rows, -(-(y + height) // grid.rows))
        across = range(x // grid.columns, -(-(x + width) // grid.columns))
        if self._jpeg:
            pixels: NDArray[Any] = _jpegs(self._content, self._directory, grid, down, across)
        else:
            pixels = tiff.read_pixels(self._content, _part(self._directory, grid, down, across))
        return pixels[y - down.start * grid.rows :, x - across.start * grid.columns :][:height, :width]


@dataclass(frozen=True)
class _Grid:
    """The segments of a picture: how large one is, and how many there are."""

    rows: int
    columns: int
    down: int
    across: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    tiled: bool

    @classmethod
    def of(cls, directory: Directory) -> _Grid:
        height, width = directory.height, directory.width
        tiled = bool(directory.all(tags.TILE_OFFSETS))
        if tiled:
            rows, columns = directory.one(tags.TILE_HEIGHT, 0), directory.one(tags.TILE_WIDTH, 0)
            offsets, counts = directory.all(tags.TILE_OFFSETS), directory.all(tags.TILE_COUNTS)
        else:
            rows, columns = min(directory.one(tags.ROWS_PER_STRIP, height), height), width
            offsets, counts = directory.all(tags.STRIP_OFFSETS), directory.all(tags.STRIP_COUNTS)
        if rows < 1 or columns < 1:
            raise ValueError("strips or tiles without pixels")
        planes = directory.samples if directory.one(tags.PLANAR, 1) == 2 else 1
        grid = cls(rows, columns, -(-height // rows), -(-width // columns), offsets, counts, tiled)
        if len(offsets) < planes * grid.down * grid.across:
            raise ValueError(f"{len(offsets)} of {planes * grid.down * grid.across} strips or tiles are listed")
        if not tiled and directory.one(tags.COMPRESSION, tags.UNCOMPRESSED) == tags.UNCOMPRESSED:
            return grid.by_rows(directory, planes)
        return grid

    def by_rows(self, directory: Directory, planes: int) -> _Grid:
        """The same where nothing is packed: each row can be read alone."""
        samples = 1 if planes > 1 else directory.samples
        row = -(-self.columns * samples * directory.bits // 8)
        each = len(self.offsets) // planes
        found: list[int] = []
        for plane in range(planes):
            for at in range(directory.height):
                strip, inner = divmod(at, self.rows)
                found.append(self.offsets[plane * each + strip] + inner * row)
        return replace(self, rows=1, down=directory.height, offsets=tuple(found), counts=(row,) * len(found))

    def chosen(self, down: range, across: range, planes: int) -> list[int]:
        """Numbers of segments, plane by plane, row by row."""
        each = len(self.offsets) // planes
        return [
            plane * each + row * self.across + column for plane in range(planes) for row in down for column in across
        ]


def _part(directory: Directory, grid: _Grid, down: range, across: range) -> Directory:
    """Some rows and columns of segments as a picture of their own."""
    planes = directory.samples if directory.one(tags.PLANAR, 1) == 2 else 1
    chosen = grid.chosen(down, across, planes)
    offsets = tuple(grid.offsets[at] for at in chosen)
    counts = tuple(grid.counts[at] for at in chosen) if len(grid.counts) == len(grid.offsets) else grid.counts
    height = min(down.stop * grid.rows, directory.height) - down.start * grid.rows
    width = min(across.stop * grid.columns, directory.width) - across.start * grid.columns
    changed: dict[int, tuple[int, ...]] = {tags.HEIGHT: (height,), tags.WIDTH: (width,)}
    if grid.tiled:
        changed |= {tags.TILE_OFFSETS: offsets, tags.TILE_COUNTS: counts}
    else:
        changed |= {tags.STRIP_OFFSETS: offsets, tags.STRIP_COUNTS: counts, tags.ROWS_PER_STRIP: (grid.rows,)}
    found: Mapping[int, Tag] = {tag: Tag(values, 0, len(values)) for tag, values in changed.items()}
    return replace(directory, tags={**directory.tags, **found})


def _jpegs(content: Content, directory: Directory, grid: _Grid, down: range, across: range) -> NDArray[np.uint8]:
    samples = directory.samples
    shape = (len(down) * grid.rows, len(across) * grid.columns)
    result = np.zeros(shape if samples == 1 else (*shape, samples), np.uint8)
    tables = bytes(directory.all(tags.JPEG_TABLES))
    rgb = directory.one(tags.PHOTOMETRIC, 1) == _RGB
    chosen = iter(grid.chosen(down, across, 1))
    for row in range(0, shape[0], grid.rows):
        for column in range(0, shape[1], grid.columns):
            at = next(chosen)
            packed = bytes(content[grid.offsets[at] : grid.offsets[at] + grid.counts[at]])
            pixels = _jpeg(packed, tables, rgb)
            wanted = min(grid.rows, directory.height - down.start * grid.rows - row)
            if pixels.shape[2:] != result.shape[2:] or pixels.shape[0] < wanted or pixels.shape[1] < grid.columns:
                raise ValueError(f"a strip or tile of {pixels.shape[1]}×{pixels.shape[0]} pixels")
            inner = result[row : row + grid.rows, column : column + grid.columns]
            inner[: pixels.shape[0]] = pixels[: grid.rows, : grid.columns]
    if directory.one(tags.PHOTOMETRIC, 1) == 0:
        result = np.uint8(255) - result
    return result


def _jpeg(packed: bytes, tables: bytes, rgb: bool) -> NDArray[np.uint8]:
    """One segment. What the tables of all segments share stands before it; what its channels are the directory says."""
    if not packed.startswith(_START):
        raise ValueError("a strip or tile that is no JPEG")
    body = packed[2:]
    shared = tables[2:].removesuffix(_END) if tables.startswith(_START) else b""
    said = b"" if b"Adobe" in packed[:64] else _ADOBE + (b"\0" if rgb else b"\1")
    with JpegImagePlugin.JpegImageFile(io.BytesIO(_START + said + shared + body)) as image:
        return np.asarray(image.convert("RGB") if image.mode not in ("L", "RGB") else image)
