"""A DICOM mask on the grid of the images that it is of, voxel by voxel."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.formats.composed_mask import ComposedMask
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.objects import open_object, series_at, series_near
from delineate.data.formats.dicom_masks.references import References
from delineate.data.formats.dicom_masks.segmentation_reader import SegmentationHandle
from delineate.data.formats.dicom_masks.structure_set_reader import StructureSetHandle
from delineate.data.formats.sparse_mask import SparseMask

__all__ = ["MappedMask", "MaskOnSeries", "mapped"]


class MaskOnSeries(ComposedMask):
    """A segmentation or structure set with the shape and the order of its images."""

    def __init__(self, path: Path, address: MaskAddress, max_pixels: int) -> None:
        """Raises `DataError` naming the file: its images are not near, or it is damaged."""
        self.path, self._address = path, address
        self._object = open_object(address.file, address.values)
        references = self._object.references
        if address.images is not None and address.series is not None:
            found = series_at(address.images, references, address.series)
            where = str(address.images)
        else:
            found = series_near(address.file, references, address.series)
            where = "its folder or the ones above"
        if found is None:
            raise DataError(f"{address.file} is a mask of a series that is not in {where}; put its images there")
        self._of = found[0]
        image = DicomHandle(found[0], found[1], max_pixels)
        self.shape, self.geometry, self.modality = image.shape, image.geometry, image.modality

    @property
    def references(self) -> References:
        """The images that it says it is of."""
        return self._object.references

    @property
    def notes(self) -> tuple[str, ...]:
        return self._object.notes

    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        if self.geometry is None:  # a picture
            values = self._object.labels().pixels
            if values.shape != self.shape:
                raise DataError(f"{self._address.file} has other rows or columns than its image {self._of}")
        else:
            values = self._object.drawn(self.geometry, self._of)
        return mapped(values, self._address.values)

    def digest(self) -> str:
        """Of the file and of what the address says."""
        return _digest(self._address)


class MappedMask(SparseMask):
    """A DICOM mask on its own grid, by its address."""

    def __init__(self, path: Path, address: MaskAddress) -> None:
        """Raises `DataError` as `open_object`."""
        self.path, self._address = path, address
        self._object = open_object(address.file, address.values)
        self.shape, self.geometry = self._object.shape, self._object.geometry

    @property
    def held(self) -> SegmentationHandle | StructureSetHandle:
        """The mask as its file has it."""
        return self._object

    @property
    def references(self) -> References:
        """The images that it says it is of."""
        return self._object.references

    @property
    def notes(self) -> tuple[str, ...]:
        return self._object.notes

    def drawn(self, grid: Any, of: Path) -> NDArray[Any]:
        """As `SparseMask.drawn`."""
        return mapped(self._object.drawn(grid, of), self._address.values)

    def lattice(self, other: SparseMask) -> Any:
        """As `SparseMask.lattice`."""
        return self._object.lattice(other)

    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        values: NDArray[np.uint8] | NDArray[np.uint16] = mapped(self._object.labels().pixels, self._address.values)
        return values

    def digest(self) -> str:
        """Of the file and of what the address says."""
        return _digest(self._address)


def mapped(values: NDArray[Any], table: Mapping[int, int]) -> NDArray[Any]:
    """Values by a table; all others become 0. An empty table changes nothing."""
    if not table:
        return values
    lookup = np.zeros(max(int(values.max(initial=0)), *table) + 1, np.uint16)
    lookup[list(table)] = list(table.values())
    found = lookup[values]
    return found.astype(np.uint8) if max(table.values()) < 256 else found


def _digest(address: MaskAddress) -> str:
    found = sha256(address.file)
    if not address.values and address.series is None:
        return found
    return hashlib.sha256(f"{found} {address.series} {sorted(address.values.items())}".encode()).hexdigest()
