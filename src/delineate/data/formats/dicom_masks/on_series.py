"""DICOM masks by their addresses: on the grid of the images that they are of, voxel by voxel, or on grids of their own.

One mask may lie in several objects of the same images, one for each class, as many archives export them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.findings import count
from delineate.data.core.geometry import Geometry
from delineate.data.formats.composed_mask import ComposedMask
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.objects import open_object, series_at, series_near
from delineate.data.formats.dicom_masks.references import References, all_references
from delineate.data.formats.dicom_masks.segmentation_reader import SegmentationHandle
from delineate.data.formats.dicom_masks.structure_set_reader import StructureSetHandle, grid_of_all
from delineate.data.formats.sparse_mask import SparseMask

__all__ = ["MappedMask", "MaskOnSeries", "mapped"]

_Held = SegmentationHandle | StructureSetHandle


class MaskOnSeries(ComposedMask):
    """Segmentations or structure sets with the shape and the order of their images."""

    def __init__(self, path: Path, address: MaskAddress, max_pixels: int) -> None:
        """Raises `DataError` naming the file: its images are not near, or it is damaged."""
        self.path, self._address = path, address
        self._objects = _Objects(address)
        found = None
        for held, _ in self._objects.parts:
            if address.images is not None and address.series is not None:
                found = series_at(address.images, held.references, address.series)
                where = str(address.images)
            else:
                found = series_near(address.file, held.references, address.series)
                where = "its folder or the ones above"
            if found is None:
                raise DataError(f"{held.path} is a mask of a series that is not in {where}; put its images there")
        assert found is not None, "a mask has an object"
        self._of = found[0]
        image = DicomHandle(found[0], found[1], max_pixels)
        self.shape, self.geometry, self.modality = image.shape, image.geometry, image.modality

    @property
    def references(self) -> References:
        """The images that it says it is of."""
        return self._objects.references

    @property
    def notes(self) -> tuple[str, ...]:
        return self._objects.notes

    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        grid = self.geometry
        if grid is None:  # a picture
            return self._objects.joined(self._picture)
        return self._objects.joined(lambda held: held.drawn(grid, self._of), grid)

    def digest(self) -> str:
        """Of the files and of what the address says."""
        return _digest(self._address)

    def _picture(self, held: _Held) -> NDArray[Any]:
        values = held.labels().pixels
        if values.shape != self.shape:
            raise DataError(f"{held.path} has other rows or columns than its image {self._of}")
        return values


class MappedMask(SparseMask):
    """A DICOM mask on its own grid, by its address."""

    def __init__(self, path: Path, address: MaskAddress) -> None:
        """Raises `DataError` as `open_object`, and naming two objects that have no grid in common."""
        self.path, self._address = path, address
        self._objects = _Objects(address)
        self.geometry = self._objects.grid()
        self.shape = self._objects.parts[0][0].shape if self.geometry is None else self.geometry.shape

    @property
    def held(self) -> tuple[_Held, ...]:
        """The objects as their files have them."""
        return tuple(held for held, _ in self._objects.parts)

    @property
    def references(self) -> References:
        """The images that it says it is of."""
        return self._objects.references

    @property
    def notes(self) -> tuple[str, ...]:
        return self._objects.notes

    def drawn(self, grid: Geometry, of: Path) -> NDArray[Any]:
        """As `SparseMask.drawn`; objects of one mask that overlap are refused."""
        return self._objects.joined(lambda held: held.drawn(grid, of), grid)

    def lattice(self, other: SparseMask) -> Geometry | None:
        """As `SparseMask.lattice`."""
        first, *others = self.held
        return super().lattice(other) if others and not self.outlined else first.lattice(other)

    @property
    def outlined(self) -> bool:
        """Whether it has no voxels of its own."""
        return all(isinstance(held, StructureSetHandle) for held in self.held)

    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        grid = self.geometry
        if grid is None or len(self.held) == 1:
            return self._objects.joined(lambda held: held.labels().pixels, grid)
        return self.drawn(grid, self.path)

    def digest(self) -> str:
        """Of the files and of what the address says."""
        return _digest(self._address)


class _Objects:
    """The objects of one mask, and what their numbers become."""

    def __init__(self, address: MaskAddress) -> None:
        self.parts = [(open_object(file, values), values) for file, values in address.parts]

    @property
    def references(self) -> References:
        return all_references([held.references for held, _ in self.parts])

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(note for held, _ in self.parts for note in held.notes)

    def joined(self, draw: Callable[[_Held], NDArray[Any]], grid: Geometry | None = None) -> NDArray[Any]:
        """The values of all objects, each drawn by `draw` on one grid. Raises `DataError` where two classes overlap."""
        (first, values), *others = self.parts
        found = mapped(draw(first), values)
        for held, values in others:
            other = mapped(draw(held), values)
            if other.shape != found.shape:
                raise DataError(f"{held.path} has other rows or columns than {first.path}, a mask of the same image")
            both = (found != 0) & (other != 0) & (found != other)
            if both.any():
                raise self._overlap(found, other, both, grid)
            found = np.where(other != 0, other, found)
        return found

    def grid(self) -> Geometry | None:
        """One that holds what all objects mark, at the voxels of the first that has some."""
        held = [one for one, _ in self.parts]
        outlines = [one for one in held if isinstance(one, StructureSetHandle)]
        voxels = [one for one in held if isinstance(one, SegmentationHandle)]
        if not voxels:
            return grid_of_all([one.content for one in outlines])
        # A single slice does not tell how slices lie to each other, where a gantry was tilted.
        base, *others = sorted(voxels, key=lambda one: one.shape[-1] if one.is_volume else 0, reverse=True)
        grid = base.geometry
        for one in others:
            if (grid is None) != (one.geometry is None):
                raise DataError(f"{base.path} and {one.path} have no grid in common; give their images beside them")
            if grid is not None:
                grid = base.lattice_on(grid, one)
                if grid is None:
                    raise DataError(f"{base.path} and {one.path} have no grid in common; give their images beside them")
        for outline in outlines:
            if grid is None:
                raise DataError(f"{base.path} tells no place, so {outline.path} cannot be joined with it")
            grid = outline.content.needed(grid)
        return grid

    def _overlap(
        self, found: NDArray[Any], other: NDArray[Any], both: NDArray[np.bool_], grid: Geometry | None
    ) -> DataError:
        """Which classes of which files overlap, and where."""
        at = np.argwhere(both)[0]
        names = " and ".join(map(self._called, (int(found[tuple(at)]), int(other[tuple(at)]))))
        where = ", ".join(str(number) for number in at)
        place = ""
        if grid is not None:
            x, y, z = (float(value) for value in grid.positions(at[None].astype(np.float64))[0])
            place = f" at {x:.1f}, {y:.1f}, {z:.1f} mm"
        number = count(int(both.sum()), "voxel")
        return DataError(
            f"{names} overlap in {number}, the first is ({where}){place}; one mask cannot hold both: correct one, or leave one out "
            "(of training data with --masks)"
        )

    def _called(self, value: int) -> str:
        for held, values in self.parts:
            for number, becomes in values.items():
                if becomes == value and number in held.names:
                    return f"'{held.names[number]}' ({held.path})"
        return f"the value {value}"


def mapped(values: NDArray[Any], table: Mapping[int, int]) -> NDArray[Any]:
    """Values by a table; all others become 0. An empty table changes nothing."""
    if not table:
        return values
    lookup = np.zeros(max(int(values.max(initial=0)), *table) + 1, np.uint16)
    lookup[list(table)] = list(table.values())
    found = lookup[values]
    return found.astype(np.uint8) if max(table.values()) < 256 else found


def _digest(address: MaskAddress) -> str:
    found = [sha256(file) for file in address.files]
    if len(found) == 1 and not address.values and address.series is None:
        return found[0]
    said = [sorted(values.items()) for _, values in address.parts]
    pairs = " ".join(f"{digest} {address.series} {values}" for digest, values in zip(found, said, strict=True))
    return hashlib.sha256(pairs.encode()).hexdigest()
