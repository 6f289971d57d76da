"""One image whose channels lie in files of their own: T1 and FLAIR of one head, two stains of one section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import check_same_geometry, sizes
from delineate.data.core.input_spec import Pixels
from delineate.data.core.mask_values import RawMask
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle
from delineate.data.formats.images import named, single_channel
from delineate.data.formats.registry import open_image

__all__ = ["Stacked", "joined", "open_several"]


class Stacked(ImageHandle):
    """Images of one channel each as the named channels of one. They have one size, one grid and one type of numbers."""

    def __init__(self, handles: Sequence[ImageHandle], names: Sequence[str]) -> None:
        """Raises `DataError` naming two files of different size or grid."""
        first = handles[0]
        self.handles, self._names = tuple(handles), tuple(names)
        self.path, self.shape, self.geometry = first.path, first.shape, first.geometry
        self.modality = first.modality
        for other in self.handles[1:]:
            _check_alike(first, other)
        first.read_with(self.handles)

    def ordered(self, names: Sequence[str]) -> Stacked:
        """The same channels in another order."""
        return Stacked([self.handles[self._names.index(name)] for name in names], names)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.handles[0].dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return self._names

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(note for handle in self.handles for note in handle.notes)

    @property
    def stored(self) -> ImageHandle:
        return self.handles[0].stored

    def as_stored(self, mask: NDArray[Any]) -> NDArray[Any]:
        return self.handles[0].as_stored(mask)

    def read(self) -> Pixels:
        return self._stacked([handle.read() for handle in self.handles])

    def slice(self, axis: int, index: int) -> Pixels:
        return self._stacked([handle.slice(axis, index) for handle in self.handles])

    def labels(self) -> RawMask:
        raise DataError(f"{self.path} is one of {len(self.handles)} channels; a mask has one file of one channel")

    def digest(self) -> str:
        """Of the first channel: a case is known by its first file."""
        return self.handles[0].digest()

    def _stacked(self, parts: Sequence[Pixels]) -> Pixels:
        planes = [_plane(part, handle) for part, handle in zip(parts, self.handles, strict=True)]
        odd = next((at for at, plane in enumerate(planes) if plane.dtype != planes[0].dtype), None)
        if odd is not None:
            raise DataError(
                f"{self.path} has {planes[0].dtype} pixels but {self.handles[odd].path}, another channel of it, "
                f"{planes[odd].dtype}; save the channels of a case alike"
            )
        return np.stack(planes, axis=-1)


def open_several(
    paths: Sequence[Path], names: Sequence[str] = (), *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> ImageHandle:
    """Open an image that lies in one file, or in as many as it has named channels.

    Args:
        paths: the files, in the order of `names`.
        names: of the channels; none where the image is one file.
        max_pixels: images of more pixels are refused.

    Raises:
        DataError: as `open_image`, and where the files do not fit together.
    """
    return joined([open_image(path, max_pixels=max_pixels) for path in paths], names)


def joined(handles: Sequence[ImageHandle], names: Sequence[str]) -> ImageHandle:
    """Open files as one image; without names it is the only one. Raises `DataError` as `Stacked`."""
    return Stacked(handles, names) if names else handles[0]


def _check_alike(first: ImageHandle, other: ImageHandle) -> None:
    if first.shape != other.shape:
        order = slice(None) if first.is_volume else slice(None, None, -1)  # pictures are width×height, for people
        raise DataError(
            f"{first.path} is {sizes(first.shape[order])} pixels but {other.path}, another channel of it, "
            f"{sizes(other.shape[order])}; the channels of a case have one size"
        )
    if first.geometry is not None and other.geometry is not None:
        check_same_geometry(first.geometry, first.path, other.geometry, other.path)


def _plane(pixels: Pixels, handle: ImageHandle) -> Pixels:
    """A gray picture, also one that was saved as RGB."""
    if pixels.ndim == len(handle.shape) or handle.is_volume:
        return pixels
    with named(handle.path):
        gray = single_channel(pixels)
    if gray.ndim > 2:
        raise DataError(f"{handle.path} has colors; a file that is one channel of several is gray")
    return gray
