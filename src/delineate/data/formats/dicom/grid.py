"""Parallel slices → their order along the normal, and the grid that they make, or what keeps them from being one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.findings import count, some
from delineate.data.core.geometry import Geometry, Triple
from delineate.data.formats.dicom.header import Frame

__all__ = ["SAME_PLACE", "Grid", "grid_of"]

SAME_PLACE = 0.01
"""Slices that are nearer along the normal lie at one place, in mm."""
_SHARE, _LEAST = 0.01, 0.1
"""How far distances of slices may differ from the usual one: by this share, or by so many mm (headers are rounded)."""
_MOST = 0.25
"""But never by more than this share."""
_TILT = 0.5
"""Degrees between the normal and the way from slice to slice that are told."""
_TOLD = 3
"""Places that a message names."""


@dataclass(frozen=True)
class Grid:
    """Slices in order."""

    frames: tuple[Frame, ...]
    geometry: Geometry | None
    """None where they are no grid."""
    notes: tuple[str, ...] = ()
    fault: str = ""
    """Why they are none, with positions."""
    twice: int = 0
    """How many slices lie at the place of another."""


def grid_of(frames: Sequence[Frame]) -> Grid:
    """Order parallel slices and lay a grid through them.

    Args:
        frames: of one size, spacing and orientation, each with a position.

    Returns:
        The grid; a fault where two slices lie at one place, distances differ, or slices are shifted against each other.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from delineate.data.formats.dicom.files import read_dataset
        >>> from delineate.data.formats.dicom.grid import grid_of
        >>> from delineate.data.formats.dicom.header import read_frames
        >>> path = Path(get_testdata_file("CT_small.dcm"))
        >>> grid_of(read_frames(path, read_dataset(path))).geometry.shape
        (128, 128, 1)
    """
    orientation = np.array(frames[0].orientation)
    normal = np.cross(orientation[:3], orientation[3:])
    places = np.array([frame.position for frame in frames], np.float64)
    order = np.argsort(places @ normal, kind="stable")
    ordered, places = tuple(frames[at] for at in order), places[order]
    along = places @ normal
    apart = np.diff(along)
    if (apart < SAME_PLACE).any():
        return _twice(ordered, along)
    if fault := _irregular(along, apart):
        return Grid(ordered, None, (), fault)
    step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else normal * (ordered[0].thickness or 1.0)
    usual = float(np.linalg.norm(step))
    off = np.linalg.norm(places - (places[0] + np.arange(len(places))[:, None] * step), axis=1)
    if off.max() > max(_SHARE * usual, _LEAST):
        worst = int(off.argmax())
        return Grid(
            ordered,
            None,
            (),
            f"slices do not lie on one line: that at {_at(along[worst])} is {off[worst]:.3g} mm off; is it one scan?",
        )
    return Grid(ordered, _geometry(ordered, step), _notes(ordered, step, normal))


def _geometry(frames: Sequence[Frame], step: NDArray[np.float64]) -> Geometry:
    """Axes: columns, rows, slices."""
    first = frames[0]
    assert first.place is not None, "checked by the caller"
    position, orientation, (between_rows, between_columns) = first.place
    usual = float(np.linalg.norm(step))
    direction = np.column_stack([orientation[:3], orientation[3:], step / usual])
    spacing: Triple = (between_columns, between_rows, usual)
    return Geometry(
        (first.header.columns, first.header.rows, len(frames)),
        position,
        direction,
        spacing,
        frame=first.header.frame_of_reference,
        sources=tuple(frame.header.instance for frame in frames),
    )


def _twice(frames: tuple[Frame, ...], along: NDArray[np.float64]) -> Grid:
    same = np.flatnonzero(np.diff(along) < SAME_PLACE)
    said = some([_at(along[at]) for at in same], _TOLD)
    names = f"{frames[same[0]].path.name} and {frames[same[0] + 1].path.name}"
    fault = (
        f"{len(same)} of {len(frames)} slices lie at the place of another ({said}; {names}), and no tag tells which is which; move "
        "those of one acquisition into a folder of their own, and give that"
    )
    return Grid(frames, None, (), fault, len(same))


def _irregular(along: NDArray[np.float64], apart: NDArray[np.float64]) -> str:
    if not len(apart):
        return ""
    usual = float(np.median(apart))
    allowed = min(max(_SHARE * usual, _LEAST), _MOST * usual)
    wrong = np.flatnonzero(np.abs(apart - usual) > allowed)
    if not len(wrong):
        return ""
    said = some([f"{apart[at]:.4g} mm after {_at(along[at])}" for at in wrong], _TOLD)
    lost = sum(max(0, round(float(apart[at] / usual)) - 1) for at in wrong)
    maybe = f"; {count(lost, 'slice')} may be missing" if lost else ""
    return f"slices are {usual:.4g} mm apart, but {said}{maybe}"


def _notes(frames: Sequence[Frame], step: NDArray[np.float64], normal: NDArray[np.float64]) -> tuple[str, ...]:
    notes = []
    if len(frames) == 1:
        how = "SliceThickness" if frames[0].thickness else "set to 1 mm: the header has no SliceThickness"
        notes.append(f"one slice; its thickness is {how}")
        return tuple(notes)
    usual = float(np.linalg.norm(step))
    angle = float(np.degrees(np.arccos(np.clip(step @ normal / usual, -1, 1))))
    if angle > _TILT:
        notes.append(f"slices are tilted by {angle:.1f}° (gantry tilt); masks are written on the tilted grid")
    return tuple(notes)


def _at(place: float) -> str:
    return f"{place:.2f} mm"
