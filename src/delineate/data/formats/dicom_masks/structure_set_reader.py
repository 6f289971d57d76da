"""Outlines of radiotherapy (RTSTRUCT) as masks. Values are the numbers of regions of interest; 0 is background, and a region of
this number has the one behind the largest.

An RTSTRUCT has no voxels: it is drawn on the grid of its images, or of whatever it is compared with. A pixel belongs to a region
where its center lies inside a contour, by the even-odd rule; a contour inside of another one is a hole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry, sizes
from delineate.data.formats.archive_sizes import MAX_VOXELS
from delineate.data.formats.dicom.files import read_dataset
from delineate.data.formats.dicom.numbers import numbers, whole
from delineate.data.formats.dicom_masks.coded_items import SegmentCodes, code_in
from delineate.data.formats.dicom_masks.outlines import fill_polygon
from delineate.data.formats.dicom_masks.references import References, references_of
from delineate.data.formats.dicom_masks.structure_set import STRUCTURE_SET
from delineate.data.formats.sparse_mask import SparseMask, check_frame, extended

__all__ = ["Contour", "StructureSet", "StructureSetHandle", "grid_of_all"]

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_FLAT = 0.1
"""How far the points of a contour may lie from one slice, as a share of the slices' distance."""
_FINE = 512
"""Pixels along the longer side of a grid of its own."""
_BEYOND = 0.51
"""How far a point may lie from the outermost centers of pixels, in pixels: they reach half a pixel further."""


@dataclass(frozen=True)
class Contour:
    """One closed outline."""

    region: int
    points: NDArray[np.float64]
    """N×3, LPS, mm."""


class StructureSet:
    """An RTSTRUCT whose contours have been read."""

    def __init__(self, path: Path, only: Collection[int] = ()) -> None:
        """`only`: as in `open_object`. Raises `DataError` naming the file: not an RTSTRUCT, without regions, or with a contour that
        cannot be."""
        self.path = path
        dataset = read_dataset(path)
        if str(dataset.get("SOPClassUID")) != STRUCTURE_SET:
            raise DataError(f"{path} is no RTSTRUCT")
        self.references: References = references_of(dataset, path)
        named = _names(dataset, path)
        self._zero = max(named) + 1
        self.names = dict(sorted((number or self._zero, name) for number, name in named.items()))
        self.codes = self._codes(dataset)
        """Number of each region → what it is in codes, of those that say it."""
        self._ignored: set[str] = set()
        self.contours: tuple[Contour, ...] = tuple(
            each for each in self._read(dataset) if not only or each.region in only
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not drawn, and what has another number."""
        told = []
        if self._ignored:
            kinds = ", ".join(sorted(self._ignored))
            told.append(f"{self.path.name} has contours that enclose nothing ({kinds}), which are left out")
        if self._zero in self.names:
            told.append(
                f"{self.path.name} has a region of number 0, which is read as {self._zero}, since 0 is background"
            )
        return tuple(told)

    def drawn(self, grid: Geometry, of: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The regions on a grid.

        Args:
            grid: of an image; its contours lie in slices across one of its axes.
            of: the image's file, for messages.

        Returns:
            Numbers of regions, in the order of the grid.

        Raises:
            DataError: naming both files: another frame of reference, contours outside of the grid or between its slices, contours
                of one region that cross, regions that overlap.
        """
        check_frame(self.references.frame, self.path, grid.frame, of)
        to_index = np.linalg.inv(grid.direction * np.array(grid.spacing))
        places = [(each.points - np.array(grid.origin)) @ to_index.T for each in self.contours]
        axis = _across(places)
        drawn = np.zeros(grid.shape, np.uint8 if max(self.names) < 256 else np.uint16)
        shape = _plane_shape(grid, axis)
        parts: dict[tuple[int, int], list[NDArray[np.float64]]] = {}
        for contour, points in zip(self.contours, places, strict=True):
            index = self._slice(points, axis, grid, of)
            parts.setdefault((contour.region, index), []).append(np.delete(points, axis, 1)[:, ::-1])
        for (region, index), polygons in parts.items():
            inside = fill_polygon(polygons[0], shape)
            for polygon in polygons[1:]:
                inside = self._combined(inside, fill_polygon(polygon, shape), region)
            plane = np.moveaxis(drawn, axis, 0)[index]
            if (plane[inside] != 0).any():
                names = f"'{self.names[int(plane[inside].max())]}' and '{self.names[region]}'"
                raise DataError(
                    f"{self.path}: the regions {names} overlap; one mask cannot hold both: export them apart"
                )
            plane[inside] = region
        return drawn

    def own_grid(self) -> Geometry:
        """A grid that holds all contours, finer than most images: for a look at what the file holds, not for scores."""
        return grid_of_all([self])

    def needed(self, grid: Geometry) -> Geometry:
        """A grid with as many more slices as its contours need.

        Args:
            grid: of a mask of the same image, slices across its third axis.

        Returns:
            The same with more slices, where contours lie beyond it.
        """
        back = np.linalg.inv(grid.direction * np.array(grid.spacing))
        heights = [((each.points - np.array(grid.origin)) @ back.T)[:, 2].mean() for each in self.contours]
        return extended(grid, round(min(heights, default=0)), round(max(heights, default=0)))

    def _region(self, item: Any) -> int | None:
        """Which region an item is of."""
        number = whole(item, "ReferencedROINumber", self.path)
        return self._zero if number == 0 else number

    def _codes(self, dataset: Any) -> dict[int, SegmentCodes]:
        found: dict[int, SegmentCodes] = {}
        for item in dataset.get("RTROIObservationsSequence") or []:
            number, code = self._region(item), code_in(item, "RTROIIdentificationCodeSequence")
            if number is not None and code is not None:
                found[number] = SegmentCodes(type=code)
        return found

    def _read(self, dataset: Any) -> Iterator[Contour]:
        for item in dataset.get("ROIContourSequence") or []:
            region = self._region(item)
            if region is None or region not in self.names:
                raise DataError(f"{self.path} has contours of the region {region}, which it does not name; restore it")
            for contour in item.get("ContourSequence") or []:
                kind = str(contour.get("ContourGeometricType") or "none")
                if kind not in _CLOSED:
                    self._ignored.add(kind)
                    continue
                values = numbers(contour, "ContourData", self.path)
                if len(values) % 3 or len(values) < 9:
                    raise DataError(
                        f"{self.path}: a contour of '{self.names[region]}' has {len(values)} numbers; restore it"
                    )
                yield Contour(region, np.array(values).reshape(-1, 3))

    def _slice(self, points: NDArray[np.float64], axis: int, grid: Geometry, of: Path) -> int:
        """The slice that a contour lies in."""
        last = np.array(grid.shape) - 1
        outside = np.maximum(-points, points - last).max(0)
        outside[axis] -= 0.5 - _FLAT  # of a slice a contour cannot lie half outside
        if outside.max() > _BEYOND:
            raise DataError(
                f"{self.path} leaves {of}: a contour lies {outside.max():.3g} voxels outside of its {sizes(grid.shape)}; it is "
                "of another image, or its positions are wrong"
            )
        index = round(float(points[:, axis].mean()))
        off = float(np.abs(points[:, axis] - index).max())
        if off > _FLAT:
            raise DataError(
                f"{self.path}: a contour lies {off:.2g} slices off slice {index} of {of}; contours must lie in the image's slices"
            )
        return index

    def _combined(self, one: NDArray[np.bool_], other: NDArray[np.bool_], region: int) -> NDArray[np.bool_]:
        """Pieces beside each other, or one without the other that lies in it."""
        both = one & other
        if not both.any() or (both == one).all() or (both == other).all():
            return one ^ other
        raise DataError(
            f"{self.path}: contours of '{self.names[region]}' cross each other in one slice; what they enclose is not clear"
        )


class StructureSetHandle(SparseMask):
    """An RTSTRUCT as a mask. It is drawn on a grid of its own where nobody gives another one."""

    geometry: Geometry

    def __init__(self, path: Path, only: Collection[int] = ()) -> None:
        """Raises `DataError` as `StructureSet`."""
        self.path = path
        self.content = StructureSet(path, only)
        self.geometry = self.content.own_grid()
        self.shape = self.geometry.shape
        if np.prod(self.shape, dtype=np.float64) > MAX_VOXELS:
            raise DataError(f"{path} has contours so far apart that {sizes(self.shape)} voxels would be needed")

    @property
    def names(self) -> dict[int, str]:
        """Number of each region → its name."""
        return self.content.names

    @property
    def codes(self) -> dict[int, SegmentCodes]:
        """Number of each region → what it is in codes."""
        return self.content.codes

    @property
    def references(self) -> References:
        """The images that it says it is of."""
        return self.content.references

    @property
    def notes(self) -> tuple[str, ...]:
        return self.content.notes

    def drawn(self, grid: Geometry, of: Path) -> NDArray[Any]:
        """As `StructureSet.drawn`."""
        return self.content.drawn(grid, of)

    def lattice(self, other: SparseMask) -> Geometry | None:
        """None: its pixels are nobody's."""
        return None

    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        return self.content.drawn(self.geometry, self.path)


def grid_of_all(several: Sequence[StructureSet]) -> Geometry:
    """A grid that holds all contours, finer than most images: for a look at what files hold, not for scores.

    Args:
        several: structure sets of the same images.

    Returns:
        The grid; of one voxel without contours.
    """
    contours = [each for one in several for each in one.contours]
    frame = several[0].references.frame
    if not contours:
        return Geometry((1, 1, 1), (0.0, 0.0, 0.0), np.eye(3), (1.0, 1.0, 1.0), frame)
    first = contours[0].points
    normal = np.linalg.svd(first - first.mean(0))[2][2]
    aside = np.eye(3)[int(np.abs(normal).argmin())]
    row = aside - (aside @ normal) * normal
    row /= np.linalg.norm(row)
    axes = np.column_stack([row, np.cross(normal, row), normal])
    places = np.concatenate([each.points for each in contours]) @ axes
    low, high = places.min(0), places.max(0)
    heights = np.unique(np.round([(each.points @ normal).mean() for each in contours], 2))
    step = float(np.diff(heights).min()) if len(heights) > 1 else 1.0
    fine = max(float((high - low)[:2].max()) / _FINE, 0.01)
    counts = np.ceil((high - low)[:2] / fine).astype(int) + 1
    origin = axes @ np.array([*low[:2], heights[0]])
    return Geometry(
        (int(counts[0]), int(counts[1]), round((heights[-1] - heights[0]) / step) + 1),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        axes,
        (fine, fine, step),
        frame,
    )


def _names(dataset: Any, path: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    for item in dataset.get("StructureSetROISequence") or []:
        number = whole(item, "ROINumber", path)
        if number is None or number in found:
            raise DataError(f"{path}: a region has the number {number}; restore it")
        found[number] = str(item.get("ROIName") or f"region {number}")
    if not found:
        raise DataError(f"{path} names no region")
    return found


def _across(places: list[NDArray[np.float64]]) -> int:
    """The axis of the grid that the contours lie across: each is flat along it."""
    if not places:
        return 2
    spread = np.array([np.ptp(points, axis=0) for points in places])
    return int(spread.max(0).argmin())


def _plane_shape(grid: Geometry, axis: int) -> tuple[int, int]:
    left = [size for at, size in enumerate(grid.shape) if at != axis]
    return left[0], left[1]
