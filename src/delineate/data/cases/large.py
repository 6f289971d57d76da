"""Pictures of data sets that are too large to be decoded whole: which they are, and windows of them and of their masks.

What is cut from them has the pixels and class indices that a whole picture would have there, at the size at which it is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.level_choice import Seen, seen_at
from delineate.data.cases.overview import is_large_file
from delineate.data.core import labels
from delineate.data.core.input_spec import InputSpec, Pixels, PixelSpacing
from delineate.data.core.manifest import IGNORE, Case, LabelRule, Manifest
from delineate.data.core.resampling import Resizer
from delineate.data.formats.contract import ANY_SIZE, ImageHandle
from delineate.data.formats.registry import open_image, reader_of

__all__ = [
    "REGION_SIDE",
    "LargeImage",
    "LargeMask",
    "gray_mask",
    "is_large",
    "native_region",
    "rows_of",
    "seen_large",
]

REGION_SIDE = 4
"""Side of the places that a large picture is validated by, in patches."""
_ROWS = 256
_Place = tuple[slice, slice]
"""Rows and columns, with start and stop."""


def is_large(manifest: Manifest, case: Case) -> bool:
    """Whether a case is a large picture in one file that is read by windows. Reads its header; what cannot be read is none."""
    if len(case.images) != 1 or manifest.channels:
        return False
    try:
        return is_large_file(manifest.path(case.images[0]))
    except DataError:
        return False


def rows_of(handle: ImageHandle, step: int = _ROWS) -> Iterator[Pixels]:
    """All of a picture, a few rows at a time, each part of the file unpacked once."""
    height, width = handle.shape
    each = handle.block[0] if handle.block else step
    step = each * max(1, step // each)
    for top in range(0, height, step):
        yield handle.window(top, 0, min(step, height - top), width)


def seen_large(manifest: Manifest, case: Case, spec: InputSpec, spacing: PixelSpacing | None) -> Seen:
    """At what size a large picture is seen by a network. Raises `DataError` for rules that measure whole pictures."""
    path = manifest.path(case.images[0])
    if spec.intensity not in ("range", "window"):
        raise DataError(
            f"{path} is read by windows, and the intensity rule {spec.intensity} is measured on whole pictures: set "
            "input.intensity=range"
        )
    return seen_at(open_image(path, max_pixels=ANY_SIZE), spec, None, spacing)


def native_region(
    manifest: Manifest, case: Case, spec: InputSpec, corner: tuple[int, int]
) -> tuple[_Place, ImageHandle]:
    """A place of a large picture in its own pixels, and the picture. `corner`: of the place, as the network sees the picture; its
    sides are `REGION_SIDE` patches."""
    handle = open_image(manifest.path(case.images[0]), max_pixels=ANY_SIZE)
    microns = handle.microns
    spacing = case.pixel_spacing or (None if microns is None else (microns[0] / 1000, microns[1] / 1000))
    seen = seen_at(handle, spec, None, spacing).size
    found = []
    for first, patch, own, side in zip(corner, spec.size, handle.shape, seen, strict=True):
        last = min(side, first + REGION_SIDE * patch)
        found.append(slice(first * own // side, -(-last * own // side)))
    return (found[0], found[1]), handle


class LargeImage:
    """The pixels of a large picture as the network is shown them, read when they are asked for: `image[rows, columns]`."""

    def __init__(self, seen: Seen, spec: InputSpec) -> None:
        self._seen, self._spec = seen, spec
        self.shape = (*seen.size, spec.in_channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint16 if self._spec.source_bits == 16 else np.uint8)

    def __getitem__(self, place: _Place) -> Pixels:
        rows, columns = (slice(*one.indices(side)) for one, side in zip(place, self._seen.size, strict=True))
        if self._resizer is None:
            part = self._read(rows.start, rows.stop, columns.start, columns.stop)
        else:
            (top, bottom), (left, right) = self._resizer.needed(rows, columns)
            source = self._read(top, bottom, left, right)
            values = self._resizer.part(source.astype(np.float32), (top, left), rows, columns)
            part = np.rint(values).astype(source.dtype) if source.dtype.kind == "u" else values
        return _as_bits(part, self._spec.source_bits)

    def _read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        return self._spec.as_channels(self._seen.level.window(top, left, bottom - top, right - left))

    @cached_property
    def _resizer(self) -> Resizer | None:
        level = self._seen.level.shape[0], self._seen.level.shape[1]
        return None if level == self._seen.size else Resizer.of(level, self._seen.size)


class LargeMask:
    """Class indices of a large picture's masks, merged: `mask[rows, columns]`, nearest neighbor where it is seen smaller.

    Without masks all is ignored (255).
    """

    def __init__(self, manifest: Manifest, case: Case, size: tuple[int, int]) -> None:
        """`size`: height and width at which the picture is seen. Raises `DataError` as `gray_mask`."""
        self.shape, self.size = size, size[0] * size[1]
        self.dtype = np.dtype(np.uint8)
        self._rule: LabelRule = manifest.labels
        self._files = [gray_mask(manifest.path(file)) for file in case.masks]
        self._own = self._files[0].shape if self._files else size

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def rows_at_once(self) -> int:
        """Rows that are read at least, as the file is packed."""
        blocks = [handle.block[0] * self.shape[0] // self._own[0] for handle in self._files if handle.block]
        return max([_ROWS, *blocks])

    def __getitem__(self, place: Any) -> NDArray[np.uint8]:
        rows, columns = place if isinstance(place, tuple) else (place, slice(None))
        down, across = (slice(*one.indices(side)) for one, side in zip((rows, columns), self.shape, strict=True))
        if not self._files:
            return np.full((down.stop - down.start, across.stop - across.start), IGNORE, np.uint8)
        lines, places = (
            _nearest(part, own, side) for part, own, side in zip((down, across), self._own, self.shape, strict=True)
        )
        top, left = int(lines[0]), int(places[0])
        height, width = int(lines[-1]) + 1 - top, int(places[-1]) + 1 - left
        found = [
            labels.apply(self._rule, handle.window(top, left, height, width), handle.path) for handle in self._files
        ]
        merged = labels.merge(found)
        return merged if self._own == self.shape else merged[np.ix_(lines - top, places - left)]


def gray_mask(path: Path) -> ImageHandle:
    """A mask that is read by windows: gray, of whole numbers. Raises `DataError` for others."""
    handle = open_image(path, max_pixels=ANY_SIZE)
    if handle.block is None or not reader_of(path).windowed:
        raise DataError(
            f"{path} is the mask of a picture that is read by windows, and cannot be read so: save it as TIFF in tiles (deflate "
            "or LZW), gray, with one value per class"
        )
    if len(handle.channels) != 1 or handle.dtype.kind != "u":
        raise DataError(
            f"{path} is the mask of a picture that is read by windows, and has {' + '.join(handle.channels)} pixels "
            f"({handle.dtype}): save it gray, with one value per class"
        )
    return handle


def _nearest(part: slice, own: int, side: int) -> NDArray[np.int64]:
    """The pixels of the file that those of a part are, as OpenCV's exact nearest neighbor has them."""
    return np.minimum(((np.arange(part.start, part.stop) + 0.5) * own / side).astype(np.int64), own - 1)


def _as_bits(image: Pixels, bits: int) -> Pixels:
    """8-bit pictures among 16-bit ones, and the reverse: the same fraction of the type's range."""
    if image.dtype == np.uint8 and bits == 16:
        return image.astype(np.uint16) * np.uint16(257)
    if image.dtype == np.uint16 and bits == 8:
        return np.round(image / np.float32(257)).astype(np.uint8)
    return image
