"""What the census finds in volumes: whether image and labels lie on one grid, and what labels are in each slice."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, DelineateError
from delineate.common.files import read_json, write_json
from delineate.data.cases.facts import (
    AS_STORED,
    Facts,
    Planes,
    Read,
    Values,
    VolumeFacts,
    Watch,
    check_same_file,
    fullest,
)
from delineate.data.cases.volumes import is_volume, labels_on, opened, percentiles_of, widest, windowed
from delineate.data.core.axes import ALL, AxisChoice
from delineate.data.core.findings import Finding, count
from delineate.data.core.geometry import pixel_spacing
from delineate.data.core.intensity import NO_NUMBERS, are_numbers
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.mask_values import MaskValues, count_values
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import plane_of
from delineate.data.formats.registry import check_grid_of_labels, digest_of
from delineate.data.formats.several import Stacked

__all__ = ["axis_across", "grids", "read_volume"]

_Slices = list[dict[int, int]]
"""Of each slice of a mask, raw label value → pixels."""
_FORMAT = 2
_NUMBER = re.compile(r"[\d.]+(e[+-]?\d+)?")
"""Notes that differ in their figures alone are of one kind."""


def grids(manifest: Manifest, findings: list[Finding]) -> dict[str, Canonical]:
    """The volumes among the cases, their headers read and compared with those of their masks; faults, and what the headers
    contradict themselves in, are added to `findings`."""
    found: dict[str, Canonical] = {}
    told: dict[str, list[str]] = defaultdict(list)
    for case in manifest.cases:
        if is_volume(manifest, case):
            try:
                image = manifest.path(case.images[0])
                found[case.id] = opened([manifest.path(file) for file in case.images], manifest.channels)
                for mask in case.masks:
                    check_grid_of_labels(image, manifest.path(mask))
                for note in found[case.id].notes:
                    told[_NUMBER.sub("", note.replace(str(image), ""))].append(note)
            except DataError as error:
                found.pop(case.id, None)
                fault = Finding("error", str(error))
                if fault not in findings:  # a package that is missing is missing for all
                    findings.append(fault)
    for notes in told.values():
        more = f" ({count(len(notes) - 1, 'more file is', 'more files are')} like this)" if len(notes) > 1 else ""
        findings.append(Finding("warning", f"{notes[0]}{more}"))
    return found


def axis_across(grids: Iterable[Canonical], given: AxisChoice | None) -> int | None:
    """The axis that is given, or else (also of all) the one across the slices (`volumes.widest`); None without volumes."""
    geometries = [grid.geometry for grid in grids]
    if not geometries:
        return None
    spacings, shapes = ([one.spacing for one in geometries], [one.shape for one in geometries])
    return widest(spacings, shapes) if given is None or given == ALL else given


def read_volume(
    manifest: Manifest,
    case: Case,
    grid: Canonical,
    axis: int,
    remembered: Path | None,
    watch: Watch | None,
    *,
    further: Sequence[int] = (),
) -> Read:
    """Count the labels of a volume's slices, also across `further` axes. Its voxels are decoded only for `watch`, which is shown
    the slice with most labels.

    Raises `DataError` for files that are damaged or not the manifest's.
    """
    hashes = {relative: digest_of(manifest.path(relative)) for relative in (*case.images, *case.masks)}
    for relative, digest in hashes.items():
        check_same_file(manifest, case, relative, digest)
    axes = (axis, *further)
    counted = [_slice_values(manifest.path(mask), hashes[mask], axes, grid, remembered) for mask in case.masks]
    cut = [_planes(grid, each, [of_mask[at] for of_mask in counted]) for at, each in enumerate(axes)]
    planes = cut[0].values
    values = []
    handles = grid.stored.handles if isinstance(grid.stored, Stacked) else (grid.stored,)
    for at, stored in enumerate(handles if watch is not None else ()):
        voxels = stored.read()
        values.append(_values(voxels, stored.path))
        if watch is not None and at == 0:
            seen = grid.turn.apply(windowed(voxels, stored.path))
            watch(case.id, plane_of(seen, axis, fullest(planes)))
    spacing = grid.geometry.millimeters
    about = {
        "hashes": hashes,
        "pixels": hashes[case.images[0]],
        "spacing": None if spacing is None else (spacing[axis], *np.delete(spacing, axis).tolist()),
        "modality": case.modality or grid.stored.modality,
    }
    named = manifest.channels
    channels = " + ".join(named) or "gray"
    volume = _of_header(grid, tuple(values))
    facts = Facts(
        cut[0].height,
        cut[0].width,
        channels,
        8,
        {},
        hashes[case.images[0]],
        named=named,
        planes=planes,
        further=tuple(cut[1:]),
        volume=volume,
        spacing=cut[0].spacing,
    )
    masks = [MaskValues(mask, _total(each[0])) for mask, each in zip(case.masks, counted, strict=True)]
    return Read(case.model_copy(update=about), facts, masks)


def _of_header(grid: Canonical, values: tuple[Values, ...]) -> VolumeFacts:
    stored, turn = grid.stored, grid.turn
    assert stored.geometry is not None, "it has an order of axes"
    letters = [
        ("L" if flip else "R", "P" if flip else "A", "I" if flip else "S")[at] for at, flip in enumerate(turn.flips)
    ]
    placed = grid.geometry.tells == "place"
    code = "".join(letters[turn.axes.index(axis)] for axis in range(3)) if placed else AS_STORED
    along = np.clip(np.abs(np.diag(grid.geometry.direction)), 0, 1)
    tilt = float(np.degrees(np.arccos(along.min())))
    sizes = (grid.geometry.shape[0], grid.geometry.shape[1], grid.geometry.shape[2])
    return VolumeFacts(stored.geometry.shape, code, tilt, sizes, grid.geometry.millimeters, str(grid.dtype), values)


def _values(voxels: NDArray[Any], path: Path) -> Values:
    """Raises `DataError` for voxels that are not numbers."""
    if not are_numbers(voxels):
        raise DataError(f"{path} has voxels {NO_NUMBERS}")
    low, high = float(voxels.min()), float(voxels.max())
    dark, bright = percentiles_of(voxels, path, (1, 99))
    return Values(low, dark, bright, high)


def _total(counted: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total: Counter[int] = Counter()
    for one in counted:
        total.update(one)
    return dict(total)


def _planes(grid: Canonical, axis: int, counted: Sequence[_Slices]) -> Planes:
    """`counted`: of each mask the slices across this axis."""
    height, width = (int(size) for size in np.delete(grid.shape, axis))
    told = grid.geometry.millimeters
    spacing = None if told is None else pixel_spacing(told, axis)
    values = [_total(each) for each in zip(*counted, strict=True)] or [{}] * grid.shape[axis]
    return Planes(axis, height, width, spacing, tuple(values))


def _slice_values(
    path: Path, digest: str, axes: Sequence[int], grid: Canonical, remembered: Path | None
) -> list[_Slices]:
    """For each axis the slices' labels; the file is decoded once at most."""

    @cache
    def voxels() -> NDArray[Any]:
        return grid.turn.apply(labels_on(grid, path))

    return [_across(voxels, digest, axis, grid, remembered) for axis in axes]


def _across(
    voxels: Callable[[], NDArray[Any]], digest: str, axis: int, grid: Canonical, remembered: Path | None
) -> _Slices:
    """Kept in `remembered` under the file's `digest`, so that it need not be decoded again."""
    if remembered is None:
        return _counted(voxels(), axis)
    corners = grid.geometry.corners().round(3).tolist()  # the order of axes of the labels is found by them
    key = f"{_FORMAT} {digest} {axis} {grid.turn.axes} {grid.turn.flips} {corners}"
    index = remembered / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    try:
        return [{int(value): int(count) for value, count in one.items()} for one in read_json(index)]
    except (OSError, ValueError, TypeError, AttributeError):
        counted = _counted(voxels(), axis)
        with suppress(DelineateError):  # saves time only: a cache that cannot be written is no reason to stop
            write_json(index, [{str(value): count for value, count in one.items()} for one in counted])
        return counted


def _counted(voxels: NDArray[Any], axis: int) -> _Slices:
    return [count_values(np.ascontiguousarray(one)) for one in np.moveaxis(voxels, axis, 0)]
