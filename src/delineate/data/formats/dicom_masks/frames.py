"""Where the frames of a multi-frame object lie: from its functional groups to one grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry, check_spacing
from delineate.data.formats.dicom.numbers import number, numbers, whole

__all__ = ["PlacedFrames", "placed_frames"]

_OFF = 0.01
"""How far a frame may lie from its place on the grid, as a share of the distance of slices; 0.1 mm are always allowed."""
_ALWAYS = 0.1


@dataclass(frozen=True)
class PlacedFrames:
    """The grid of an object's frames, in which some slices may have none."""

    grid: Geometry
    """x along a row, y along a column, z along the normal of the slices."""
    slices: tuple[int, ...]
    """Of each frame, its slice."""


def placed_frames(dataset: Any, path: Path) -> PlacedFrames | None:
    """Where the frames lie.

    Args:
        dataset: pydicom's data set of a multi-frame object.
        path: of its file, for messages.

    Returns:
        Grid and slices; None where frames have no positions.

    Raises:
        DataError: naming the file: positions without orientation or spacing, frames of several orientations, or slices that are not
            as far from each other as their neighbors.
    """
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), None)
    places = [_values(group, shared, "PlanePositionSequence", "ImagePositionPatient", path, 3) for group in groups]
    if not places or not any(places):
        return None
    if not all(places):
        raise DataError(f"{path}: some frames have no ImagePositionPatient; correct its header")
    turned = {
        _values(group, shared, "PlaneOrientationSequence", "ImageOrientationPatient", path, 6) for group in groups
    }
    scales = {_values(group, shared, "PixelMeasuresSequence", "PixelSpacing", path, 2) for group in groups}
    orientation, spacing = _one(turned, "ImageOrientationPatient", path), _one(scales, "PixelSpacing", path)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-2):
        raise DataError(f"{path}: ImageOrientationPatient is not of two perpendicular unit vectors; correct its header")
    stated = _between(groups[0], shared, path)
    positions = np.array(places)
    first, step, slices = _lattice(positions, normal, stated, path)
    length = float(np.linalg.norm(step))
    shape = (whole(dataset, "Columns", path) or 0, whole(dataset, "Rows", path) or 0, max(slices) + 1)
    origin = (float(first[0]), float(first[1]), float(first[2]))
    frame = dataset.get("FrameOfReferenceUID")
    return PlacedFrames(
        Geometry(
            shape,
            origin,
            np.stack([row, column, step / length], 1),
            check_spacing(path, (spacing[1], spacing[0], length)),
            str(frame) if frame else None,
        ),
        slices,
    )


def _lattice(
    positions: NDArray[np.float64], normal: NDArray[np.float64], stated: float | None, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...]]:
    """The first slice's position, the step from each to the next, and the slice of each frame."""
    heights = positions @ normal
    first, last = positions[heights.argmin()], positions[heights.argmax()]
    levels = np.sort(heights)
    gaps = np.diff(levels)
    gaps = gaps[gaps > 1e-3]
    if not len(gaps):
        return first, normal * (stated or 1.0), (0,) * len(positions)
    # Empty slices are left out, so the smallest distance may be several steps: what the object states counts where it fits.
    smallest = float(gaps.min())
    distance = smallest / max(1, round(smallest / stated)) if stated else smallest
    count = max(1, round((levels[-1] - levels[0]) / distance))
    step = (last - first) / count
    slices = np.rint((heights - levels[0]) / (step @ normal)).astype(int)
    off = np.linalg.norm(positions - (first + slices[:, None] * step), axis=1)
    worst = int(off.argmax())
    if off[worst] > max(_ALWAYS, _OFF * distance):
        raise DataError(
            f"{path}: its slices are not evenly spaced (frame {worst + 1} lies {off[worst]:.3g} mm off, at {distance:.3g} mm "
            "from slice to slice); it cannot be read as a volume"
        )
    return first, step, tuple(int(each) for each in slices)


def _values(group: Any, shared: Any, sequence: str, keyword: str, path: Path, count: int) -> tuple[float, ...]:
    """Of one frame: its own, or what all share."""
    item = _item(group, shared, sequence)
    return () if item is None else numbers(item, keyword, path, count)


def _item(group: Any, shared: Any, sequence: str) -> Any:
    for place in (group, shared):
        found = None if place is None else place.get(sequence)
        if found:
            return found[0]
    return None


def _one(found: set[tuple[float, ...]], keyword: str, path: Path) -> tuple[float, ...]:
    first = next(iter(found))
    if any(len(each) != len(first) or not np.allclose(each, first, atol=1e-3) for each in found):
        raise DataError(f"{path}: its frames differ in {keyword}; it cannot be read as one volume")
    if not first:
        raise DataError(f"{path}: it has positions but no {keyword}; correct its header")
    return first


def _between(group: Any, shared: Any, path: Path) -> float | None:
    item = _item(group, shared, "PixelMeasuresSequence")
    found = None if item is None else number(item, "SpacingBetweenSlices", path)
    if found is None and item is not None:
        found = number(item, "SliceThickness", path)
    return abs(found) if found else None
