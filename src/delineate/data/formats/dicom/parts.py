"""DICOM files that are given one by one, as a shell's pattern gives them: the series that they make, or are a part of."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.grid import grid_of
from delineate.data.formats.dicom.header import Frame
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.dicom.series import Series, series_of

__all__ = ["Joined", "join_files", "part_of"]

_TOLD = 3


@dataclass(frozen=True)
class Joined:
    """What files make together."""

    images: tuple[tuple[DicomAddress, Series], ...]
    faults: tuple[str, ...] = ()
    """A line for each file that holds no image or cannot be read."""
    notes: tuple[str, ...] = ()
    """Series of which only some slices were given."""


def join_files(files: Sequence[Path]) -> Joined:
    """Put files together to series, by their UIDs and orientations, as a folder of them is.

    Args:
        files: of DICOM, each once.

    Returns:
        The images, in the order in which their first files were given.

    Raises:
        DataError: slices of one folder belong to several stacks there, of which no address could name these alone.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from delineate.data.formats.dicom.parts import join_files
        >>> [len(series.frames) for _, series in join_files([Path(get_testdata_file("CT_small.dcm"))]).images]
        [1]
    """
    found = {file: scan(file) for file in files}
    frames = [frame for one in found.values() for _, series in one.series for frame in series.frames]
    images: list[tuple[DicomAddress, Series]] = []
    notes: list[str] = []
    for series in series_of(frames):
        paths = {frame.path for frame in series.frames}
        if len(paths) == 1:
            (path,) = paths
            images += [one for one in found[path].series if _ids(one[1].frames) & _ids(series.frames)]
            continue
        address, known = _in_folder(series, paths)
        images.append((address, part_of(known, address.slices)))
        if address.slices:
            notes.append(
                f"{len(series.frames)} of the {len(known.frames)} {_called(known)} of {replace(address, slices=())} were given"
            )
    order = {file: at for at, file in enumerate(files)}
    images.sort(key=lambda one: min(order.get(frame.path, len(order)) for frame in one[1].frames))
    faults = tuple(line for one in found.values() for line in one.faults)
    return Joined(tuple({str(address): (address, one) for address, one in images}.values()), faults, tuple(notes))


def part_of(series: Series, slices: Sequence[tuple[int, int]]) -> Series:
    """Some slices of a series as a series.

    Args:
        series: all of it.
        slices: first and last of each run, from 0; none: all.

    Returns:
        Them; with a fault where they make no volume, since others between them are missing, or where one is not there.
    """
    if not slices or series.disputed:
        return series
    numbers = [at for first, last in slices for at in range(first, min(last, len(series.frames)) + 1)]
    if max(last for _, last in slices) >= len(series.frames) or not numbers:
        return replace(series, geometry=None, fault=f"it has {len(series.frames)} slices, and others are asked for")
    frames = tuple(series.frames[at] for at in numbers)
    if any(frame.place is None for frame in frames):
        return replace(series, frames=frames, geometry=None)
    grid = grid_of(frames)
    notes = (f"{len(frames)} of {len(series.frames)} slices", *grid.notes)
    return replace(series, frames=grid.frames, geometry=grid.geometry, notes=notes, fault=grid.fault)


def _in_folder(series: Series, paths: Collection[Path]) -> tuple[DicomAddress, Series]:
    """The series of the folder that these slices are of."""
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    own = _ids(series.frames)
    for address, known in scan(folder).series:
        if own <= _ids(known.frames):
            numbers = [at for at, frame in enumerate(known.frames) if _id(frame) in own]
            runs = [] if len(own) == len(known.frames) else _runs(numbers)
            return replace(address, slices=tuple(runs)), known
    names = some(sorted(path.name for path in paths), _TOLD)
    raise DataError(
        f"{names} in {folder} are slices of several stacks there; give the folder, or the address of a stack"
    )


def _called(series: Series) -> str:
    return "sizes" if series.kind == "slide" else "slices"


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    found = []
    for _, members in groupby(enumerate(numbers), key=lambda one: one[1] - one[0]):
        run = [number for _, number in members]
        found.append((run[0], run[-1]))
    return found


def _ids(frames: Sequence[Frame]) -> set[tuple[str, int]]:
    return {_id(frame) for frame in frames}


def _id(frame: Frame) -> tuple[str, int]:
    return frame.header.instance, frame.index
