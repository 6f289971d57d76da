"""Slices of one series, several at a place → stacks without two at one place: by the tag that tells them apart.

A tag parts slices by its values. Times from the heart's beat (cine MR) differ a little from slice to slice: there the first frame
at each place makes the first stack, and so on, where each place has as many.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from delineate.data.formats.dicom.grid import SAME_PLACE, Grid, grid_of
from delineate.data.formats.dicom.header import Frame

__all__ = ["Stack", "stacks_of"]

_TIMES = ("TriggerTime", "NominalCardiacTriggerDelayTime", "FrameReferenceTime")
_SHOWN = re.compile(r"[-+.\deE]{1,16}(\\[-+.\deE]{1,16}){0,2}")
"""Values that are shown: text may be anything, a name too."""


@dataclass(frozen=True)
class Stack:
    """Slices that are to make one volume."""

    frames: list[Frame]
    by: str = ""
    """The tag that parted it from others; '' where none did."""
    value: str = ""
    """Of that tag, where it is a number; or which phase this is."""
    phase: str = ""
    """What no tag of all of its slices tells, so that its name must."""


def stacks_of(group: list[Frame]) -> list[Stack]:
    """Part slices.

    Args:
        group: parallel slices of one size, each with a position.

    Returns:
        The stacks, in the order of the tag's values; all as one where no tag parts them.
    """
    return _parted(Stack(group))


def _parted(stack: Stack) -> list[Stack]:
    group = stack.frames
    grid = grid_of(group)
    if not grid.fault:
        return [stack]
    for mark in dict.fromkeys(mark for frame in group for mark in frame.marks):
        parts: dict[str, list[Frame]] = {}
        for frame in group:
            parts.setdefault(frame.marks.get(mark, ""), []).append(frame)
        if len(parts) < 2:
            continue
        ranked = _by_rank(grid, mark, parts) if mark in _TIMES and grid.twice else []
        if ranked:
            return [one for part in ranked for one in _parted(part)]
        if _helps(grid, parts.values()):
            made = [Stack(part, mark, _shown(value)) for value, part in _ordered(parts)]
            return [one for part in made for one in _parted(part)]
    return [stack]


def _ordered(parts: Mapping[str, list[Frame]]) -> list[tuple[str, list[Frame]]]:
    """By number, or else by text."""

    def place(item: tuple[str, list[Frame]]) -> tuple[float, str]:
        found = _number(item[0])
        return (np.inf if found is None else found), item[0]

    return sorted(parts.items(), key=place)


def _by_rank(grid: Grid, mark: str, parts: Mapping[str, Sequence[Frame]]) -> list[Stack]:
    """The first frames at each place, the second ones, …; none where places have not as many, or times leave it open."""
    places = _places(grid.frames)
    counts = {len(frames) for frames in places}
    if len(counts) > 1 or all(len(part) == len(places) for part in parts.values()):
        return []
    (count,) = counts
    ordered = []
    for frames in places:
        times = [_number(frame.marks.get(mark, "")) for frame in frames]
        known = [time for time in times if time is not None]
        if len(set(known)) < count:
            return []
        ordered.append([frames[at] for at in np.argsort(known, kind="stable")])
    phases = [f"phase {at} of {count}" for at in range(1, count + 1)]
    return [Stack([frames[at] for frames in ordered], mark, phase, phase) for at, phase in enumerate(phases)]


def _places(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Slices in the order of their places → those at each place."""
    assert frames[0].orientation is not None, "a slice has a place"
    normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
    along = [float(np.array(frame.position) @ normal) for frame in frames]
    found = [[frames[0]]]
    for at in range(1, len(frames)):
        if along[at] - along[at - 1] < SAME_PLACE:
            found[-1].append(frames[at])
        else:
            found.append([frames[at]])
    return found


def _helps(grid: Grid, parts: Iterable[Sequence[Frame]]) -> bool:
    """Whether parting leaves fewer slices at one place; of slices at differing distances, whether each part is a stack."""
    grids = [grid_of(part) for part in parts]
    if any(len(one.frames) < 2 for one in grids) and grid.twice + 1 < len(grid.frames):
        return False  # a tag that differs in each slice, such as a time
    if grid.twice:
        return sum(one.twice for one in grids) < grid.twice
    return all(not one.fault for one in grids)


def _shown(value: str) -> str:
    number = _number(value)
    if number is not None:
        return f"{number:g}"
    return value if _SHOWN.fullmatch(value) else ""


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if np.isfinite(found) else None
