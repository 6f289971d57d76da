"""DICOM series and pictures as open images."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.geometry import Geometry, sizes
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.archive_sizes import MAX_VOXELS
from delineate.data.formats.contract import GRAY, RGB, ImageHandle, plane_of
from delineate.data.formats.dicom.header import Frame
from delineate.data.formats.dicom.pixels import COLORS, read_frame
from delineate.data.formats.dicom.series import Series
from delineate.data.formats.dicom.values import measured, measured_type, shown, shown_type

__all__ = ["DicomHandle"]


class DicomHandle(ImageHandle):
    """A series of slices, a file of many frames, or a picture. Headers have been read; one frame at a time is decoded.

    Axes of a stack of slices with positions are (columns, rows, slices), as in NIfTI files, and values are the scanner's own.
    Frames without positions, such as an ultrasound loop, are (rows, columns, frames), and look as a viewer shows them; so do
    pictures.

    Whoever writes DICOM of the same patient needs `frames`: file and frame of each slice, in order; `as_frames` brings a mask into
    that order, `from_frames` back. Headers are read again by `files.read_dataset(frame.path)`, which leaves out the pixels.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from delineate.data.formats.registry import open_image
        >>> handle = open_image(Path(get_testdata_file("CT_small.dcm")))
        >>> handle.shape, handle.modality, handle.frames[0].index
        ((128, 128, 1), 'CT', 0)
        >>> handle.as_frames(handle.read()).shape
        (1, 128, 128)
    """

    def __init__(self, path: Path, series: Series, max_pixels: int) -> None:
        """Raises `DataError` for a series with a fault, and for slices of more than `max_pixels`."""
        self.path, self.series = path, series
        self.modality = series.modality or None
        if series.fault:
            raise DataError(f"{path}: {series.fault}")
        header = series.frames[0].header
        if header.rows * header.columns > max_pixels:
            raise DataError(
                f"{path} has {header.columns}×{header.rows} pixels, above the limit of {max_pixels / 1e6:g} megapixels; "
                "raise it with --max-megapixels if the machine's memory allows"
            )
        self.geometry = series.geometry
        if series.kind == "image":
            self.shape = (header.rows, header.columns)
        elif series.geometry is not None:
            self.shape = series.geometry.shape
        else:
            self.geometry = _of_frames(series)
            self.shape = self.geometry.shape
        if np.prod(self.shape, dtype=np.float64) > MAX_VOXELS:
            raise DataError(
                f"{path} has {sizes(self.shape)} voxels, above the limit of {MAX_VOXELS:,}; use fewer slices"
            )

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Of each slice, in order, the file and the frame in it that it was read from; one of a picture."""
        return self.series.frames

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        return measured_type(self.frames) if self._is_measured else shown_type(self.frames[0].header)

    @property
    def channels(self) -> tuple[str, ...]:
        return RGB if self.frames[0].header.photometric in COLORS else GRAY

    @property
    def notes(self) -> tuple[str, ...]:
        if self.series.kind == "image" or self._has_places:
            return self.series.notes
        header = self.frames[0].header
        if header.pixel_size is None:
            return (*self.series.notes, "frames without positions: no sizes in mm")
        told = f"{sizes(header.pixel_size)} mm ({header.pixel_size_of})"
        return (*self.series.notes, f"frames without positions: pixels are {told}")

    def read(self) -> Pixels:
        if not self.is_volume:
            return self._frame(0)
        return self._voxels if "_voxels" in self.__dict__ else self._decoded()

    def slice(self, axis: int, index: int) -> Pixels:
        if not self.is_volume:
            return self.read()
        if not 0 <= index < self.shape[axis]:
            raise IndexError(f"{self.path} has {self.shape[axis]} slices across axis {axis}, none of number {index}")
        if axis == 2 and "_voxels" not in self.__dict__:
            frame = self._frame(index)
            return np.ascontiguousarray(frame.swapaxes(0, 1)) if self._has_places else frame
        return plane_of(self._voxels, axis, index)

    def digest(self) -> str:
        """Of the files of all slices, in order."""
        files = dict.fromkeys(frame.path for frame in self.frames)
        found = [sha256(file) for file in files]
        if len(found) == 1 and len(self.frames) == self.frames[0].header.frames:
            return found[0]
        listed = [*found, *(str(frame.index) for frame in self.frames)]
        return hashlib.sha256(" ".join(listed).encode()).hexdigest()

    def as_frames(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """An array in the order of this image → one plane for each of `frames`.

        Args:
            voxels: of the shape `shape`, with or without an axis of channels at the end.

        Returns:
            frames × rows × columns: a view.
        """
        if not self.is_volume:
            return voxels[None]
        return np.moveaxis(voxels.swapaxes(0, 1) if self._has_places else voxels, 2, 0)

    def from_frames(self, planes: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `as_frames`.

        Args:
            planes: frames × rows × columns.

        Returns:
            The same in the order of this image: a view.
        """
        if not self.is_volume:
            return planes[0]
        voxels = np.moveaxis(planes, 0, 2)
        return voxels.swapaxes(0, 1) if self._has_places else voxels

    @property
    def _has_places(self) -> bool:
        """Whether the slices have positions: then columns come before rows."""
        return self.series.geometry is not None

    @property
    def _is_measured(self) -> bool:
        return self._has_places

    @cached_property
    def _voxels(self) -> Pixels:
        return self._decoded()

    def _decoded(self) -> Pixels:
        colors = (3,) if len(self.channels) == 3 else ()
        header = self.frames[0].header
        planes = np.empty((len(self.frames), header.rows, header.columns, *colors), self.dtype)
        for index in range(len(self.frames)):
            planes[index] = self._frame(index)
        return self.from_frames(planes)

    def _frame(self, index: int) -> Pixels:
        frame = self.frames[index]
        stored, dataset = read_frame(frame)
        if self._is_measured:
            return measured(stored, frame, dataset, self.dtype)
        return shown(stored, frame, dataset)


def _of_frames(series: Series) -> Geometry:
    """Of frames that have no positions: rows, columns and frames, as they are seen."""
    header = series.frames[0].header
    grid = Geometry.of_stack((header.rows, header.columns, len(series.frames)), None)
    return replace(grid, sources=tuple(frame.header.instance for frame in series.frames))
