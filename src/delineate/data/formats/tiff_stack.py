"""TIFF files of several pages as volumes: stacks of ImageJ, OME-TIFF, and pages that nothing describes.

A volume's axes are rows, columns and planes, so that its slices across the last are the pages as viewers show them. One page is
decoded at a time. Channels and moments in time are frames with addresses (`cells.tif#1`); of a file without planes a frame is a
picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.geometry import Geometry, Triple, sizes
from delineate.data.core.input_spec import Pixels
from delineate.data.core.labels import whole
from delineate.data.core.mask_values import RawMask
from delineate.data.formats import images, tiff
from delineate.data.formats import tiff_directory as tags
from delineate.data.formats.archive_sizes import MAX_VOXELS
from delineate.data.formats.contract import GRAY, RGB, RGBA, ImageHandle, plane_of
from delineate.data.formats.frames import frame_address, frames_needed
from delineate.data.formats.headers import UnreadableError
from delineate.data.formats.orientation import TAG as ORIENTATION
from delineate.data.formats.orientation import turned
from delineate.data.formats.tiff_description import Description
from delineate.data.formats.tiff_directory import Content, Directory, page_directory, read_directory
from delineate.data.formats.tiff_samples import NONE, sample_type

__all__ = ["Pages", "StackHandle", "pages_of"]

_ALIKE = (tags.WIDTH, tags.HEIGHT, tags.BITS, tags.SAMPLES, tags.FORMAT, tags.PHOTOMETRIC, ORIENTATION)
"""Tags in which all pages of a volume are equal."""
_PALETTE = 3
_COLORS = {1: GRAY, 2: GRAY, 3: RGB, 4: RGBA}
"""Samples of a page → its channels; of two the second is alpha, which is dropped."""


@dataclass(frozen=True)
class Pages:
    """How many pages a file has, and what they are."""

    number: int
    planes: int = 1
    frames: int = 1
    names: tuple[str, ...] = ()
    """Of the frames, where the file names them."""


def pages_of(path: Path) -> Pages:
    """What the headers of a TIFF file say, looked at once as long as it does not change; a single page where they are damaged."""
    try:
        state = path.stat()
        return _pages_of(path, state.st_mtime_ns, state.st_size)
    except OSError:
        return Pages(1)


@lru_cache(maxsize=1 << 16)
def _pages_of(path: Path, *_state: int) -> Pages:
    try:
        directory = read_directory(images.mapped(path))
        if directory.pages == 1:
            return Pages(1)
        stack = _Stack.of(directory)
    except Exception:
        return Pages(1)
    return Pages(directory.pages, stack.planes, stack.channels * stack.moments, stack.names)


@dataclass(frozen=True)
class _Stack:
    """The pages of a file as planes, channels and moments."""

    directory: Directory
    said: Description
    planes: int
    channels: int
    moments: int

    @classmethod
    def of(cls, directory: Directory) -> _Stack:
        """Raises whatever parsing raises."""
        said, pages = directory.description, directory.pages
        if not said.program or said.images not in (0, pages) or said.planes * said.channels * said.moments != pages:
            return cls(directory, said, pages, 1, 1)
        return cls(directory, said, said.planes, said.channels, said.moments)

    @property
    def names(self) -> tuple[str, ...]:
        return self.said.names if self.moments == 1 and self.channels > 1 else ()

    def check(self, content: Content) -> None:
        """Raise `UnreadableError` for pages of which it is not sure what they are, or that are not alike."""
        said, pages = self.said, self.directory.pages
        if said.fault:
            raise UnreadableError(
                f"is a TIFF whose {pages} pages {said.fault}; save it as OME-TIFF or from ImageJ with its axes, or each volume as "
                "a file"
            )
        told = said.images or said.planes * said.channels * said.moments
        if said.program and told != pages:
            raise UnreadableError(
                f"is a TIFF of {pages} pages whose description ({said.program}) tells of {told}; save it anew"
            )
        first = self.directory
        for page in range(1, len(first.places)):
            other = page_directory(content, first, page, _ALIKE)
            if any(other.all(tag) != first.all(tag) for tag in _ALIKE):
                raise UnreadableError(
                    f"is a TIFF of {pages} pages that are not alike ({_kind(first)}; page {page + 1} is {_kind(other)}), so no "
                    "volume: save each as a file"
                )
        plain = first.one(tags.COMPRESSION, NONE) == NONE and first.all(tags.STRIP_OFFSETS)
        if len(first.places) == 1 and not plain:
            raise UnreadableError(
                f"is a TIFF of {pages} planes in one page, packed or in tiles, which is not readable: save each as a page"
            )

    def page(self, frame: int, plane: int) -> int:
        """Which page a plane is; frames are counted by moment, then by channel."""
        found = plane if self.planes == self.directory.pages else self._described(frame, plane)
        if not 0 <= found < self.directory.pages:
            raise UnreadableError(f"tells of a plane ({plane}) that it does not hold; save it anew")
        return found

    def _described(self, frame: int, plane: int) -> int:
        return self.said.page(frame % self.channels, plane, frame // self.channels)

    def page_tags(self, content: Content, page: int) -> Directory:
        """The tags of a page; of one without a directory of its own, as it lies behind the first."""
        first = self.directory
        if len(first.places) > 1 or not page:
            return page_directory(content, first, page)
        row = -(-first.width * first.samples * first.bits // 8)
        strips = first.tags[tags.STRIP_OFFSETS]
        moved = replace(strips, values=tuple(at + page * first.height * row for at in strips.values))
        return replace(first, tags={**first.tags, tags.STRIP_OFFSETS: moved})


class StackHandle(ImageHandle):
    """A volume in the pages of a TIFF file, or a frame of it. All headers have been read, no page is decoded."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        """`path`: a file, or one of its frames. Raises `DataError` naming it for pages of which it is not sure what they are."""
        self.path = path
        self._file, frame = frame_address(path)
        with images.named(path):
            self._content = images.mapped(self._file)
            directory = read_directory(self._content)
            self._stack = _Stack.of(directory)
            self._stack.check(self._content)
            self.orientation = directory.orientation
            size = (directory.height, directory.width)
        images.check_pixels(size, path, max_pixels)
        stack = self._stack
        if frame is None and stack.moments > 1 and stack.planes == 1:
            raise DataError(
                f"{path}: {stack.said.program} calls its pages {stack.moments} moments in time: state one as "
                f"{self._file.name}#0 … in a table; of a volume's planes, save them as such (slices in ImageJ, axes ZYX)"
            )
        kind = "volume" if stack.planes > 1 else "picture"
        self._frame = frames_needed(path, frame, stack.channels * stack.moments, kind)
        rows, columns = reversed(size) if self.orientation >= 5 else size
        if stack.planes == 1:
            self.shape: tuple[int, ...] = (rows, columns)
            return
        shape = (rows, columns, stack.planes)
        if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
            raise DataError(f"{path} has {sizes(shape)} voxels, above the limit of {MAX_VOXELS:,}; crop or resample it")
        self.shape, self.geometry = shape, Geometry.of_stack(shape, self._spacing)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        if not self.is_volume:
            return self._plane(0).dtype
        with images.named(self.path):
            directory = self._stack.directory
            if len(self._stored_channels) > 1 or directory.one(tags.PHOTOMETRIC, 1) == _PALETTE:
                raise UnreadableError(
                    "is a stack of colors (or of a lookup table), and volumes are gray: save the channel that is meant in gray, or "
                    "each page as a picture"
                )
            dtype = sample_type(directory)
            if dtype is None:
                raise UnreadableError(f"is a TIFF of {directory.bits} bits, which is not readable: save 8 or 16 bits")
            return dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return GRAY if self.is_volume else self._stored_channels

    @property
    def notes(self) -> tuple[str, ...]:
        said = self._stack.said
        if not self.is_volume:
            return ()
        if not said.program:
            pages = self._stack.directory.pages
            return (
                f"{self.path}: nothing tells what its {pages} pages are; they are taken as the planes of one volume",
            )
        told = said.distances(self._stack.directory.per_unit)
        if self._spacing is None and any(told):
            lacking = "how far apart its planes are" if told[2] is None else "how large its pixels are"
            return (f"{self.path} does not tell {lacking} ({said.program}), so distances are in voxels",)
        return ()

    def read(self) -> Pixels:
        if not self.is_volume:
            return self._plane(0)
        return self._voxels if "_voxels" in self.__dict__ else self._decoded(self._plane, self.dtype)

    def slice(self, axis: int, index: int) -> Pixels:
        number = self.depth(axis)
        if not 0 <= index < number:
            raise IndexError(f"{self.path} has {number} slices across axis {axis}, none of number {index}")
        if not self.is_volume or axis == 2:
            return self._plane(index)
        return plane_of(self._voxels, axis, index)

    def labels(self) -> RawMask:
        if not self.is_volume:
            return RawMask(self._label_plane(0))
        return RawMask(self._decoded(self._label_plane, None))

    def digest(self) -> str:
        """Of the file, and of the frame where there are several."""
        found = sha256(self._file)
        return found if self._frame is None else hashlib.sha256(f"{found} {self._frame}".encode()).hexdigest()

    @cached_property
    def _voxels(self) -> Pixels:
        return self._decoded(self._plane, self.dtype)

    def _decoded(self, plane: Callable[[int], NDArray[Any]], dtype: np.dtype[Any] | None) -> NDArray[Any]:
        """All planes, one behind the other in memory, with the planes as the last axis."""
        first = plane(0)
        voxels = np.empty((self.shape[2], *self.shape[:2]), dtype or first.dtype)
        voxels[0] = first
        for index in range(1, len(voxels)):
            one = plane(index)
            if one.dtype != first.dtype:
                voxels = voxels.astype(np.promote_types(voxels.dtype, one.dtype))
            voxels[index] = one
        return np.moveaxis(voxels, 0, 2)

    def _plane(self, index: int) -> Pixels:
        if self.is_volume:
            assert self.dtype is not None, "it says what cannot be read"
        with images.named(self.path):
            pixels = tiff.read_pixels(self._content, self._page_tags(index))
            if not self.is_volume:
                pixels = images.typed(pixels, self.path)
            return np.array(turned(pixels, self.orientation))

    def _label_plane(self, index: int) -> NDArray[Any]:
        with images.named(self.path):
            directory = self._page_tags(index)
            values, palette = tiff.read_values(self._content, directory)
            if palette is None:
                values = images.single_channel(values)
                if values.ndim == 3:
                    raise UnreadableError(
                        "is a stack of masks that are painted in colors: save the class of each voxel"
                    )
                values = whole(values, self.path, "page", "pixels")
            return np.array(turned(values, self.orientation))

    def _page_tags(self, index: int) -> Directory:
        page = self._stack.page(self._frame or 0, index)
        directory = self._stack.page_tags(self._content, page)
        if tiff.by_pillow(directory):
            raise UnreadableError(
                "is a stack of pages packed as JPEG or fax, which is not readable: save it with LZW or without compression"
            )
        return directory

    @property
    def _stored_channels(self) -> tuple[str, ...]:
        return _COLORS.get(self._stack.directory.samples, RGB)

    @property
    def _spacing(self) -> Triple | None:
        """Distances of rows, columns and planes; None unless all of them are told."""
        columns, rows, planes = self._stack.said.distances(self._stack.directory.per_unit)
        if columns is None or rows is None or planes is None:
            return None
        return (columns, rows, planes) if self.orientation >= 5 else (rows, columns, planes)


def _kind(directory: Directory) -> str:
    samples = f"{directory.samples} samples of " if directory.samples > 1 else ""
    return f"{directory.width}×{directory.height} of {samples}{directory.bits} bits"
