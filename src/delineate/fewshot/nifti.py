"""A folder of NIfTI volumes with their label volumes: recognised, indexed slice by slice, and read a slice at a time.

All volumes are seen in one order of axes (`data.formats.canonical`), so that slice 3 is nearer to the head than slice 2 in each,
and left is on the same side.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, DelineateError
from delineate.common.files import read_json, sha256, write_json
from delineate.data.cache.place import cache_place
from delineate.data.cases.census import Census, Facts
from delineate.data.core import labels
from delineate.data.core.findings import raise_errors
from delineate.data.core.geometry import Geometry, check_same_geometry
from delineate.data.core.label_reading import Reading, read_by_evidence, read_by_table
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.core.mask_values import MaskValues, count_values
from delineate.data.formats.canonical import Turn
from delineate.data.formats.registry import open_image, read_geometry, read_raw_labels
from delineate.data.layouts.discover import to_manifest
from delineate.data.layouts.source import DataSource
from delineate.data.layouts.volume_sets import LAYOUT, find_volumes, holds_volumes
from delineate.data.splits.seeded import complete

_OPEN = 3
"""Volumes whose voxels are kept in memory at a time."""
_FORMAT = 2


@dataclass(frozen=True)
class Opened:
    """A folder of volumes, all headers and labels read."""

    manifest: Manifest
    census: Census
    axis: int
    """Across the slices, in the canonical order."""
    pixels: Mapping[str, tuple[Mapping[int, int], ...]]
    """Case id → of each slice, class index → pixels."""


def recognises(source: DataSource) -> bool:
    """Whether `source` is a folder with NIfTI images, or the manifest of one."""
    if source.is_manifest:
        return Manifest.load(source.path).layout == LAYOUT
    return holds_volumes(source.path)


def open_volumes(
    source: DataSource,
    *,
    axis: int | None = None,
    fold: int | None = None,
    seed: int = 0,
    cache_folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Opened:
    """Images and label volumes of equal names, with split lists as for pictures.

    What is in which slice is kept on disk under the label file's hash, so that a second opening decodes nothing. Raises
    `DataError`: no pairs, another grid than its image's, files that are not those of the manifest, unreadable label values.
    """
    manifest = Manifest.load(source.path) if source.is_manifest else _discover(source)
    manifest = source.named(source.grouped(manifest))
    manifest = manifest if fold is None else manifest.of_fold(fold)
    read_before = any(case.hashes for case in manifest.cases)
    counted: dict[str, list[dict[int, int]]] = {}
    cases, shapes = [], {}
    geometries = [_geometry(manifest, case) for case in manifest.cases]
    turns = [Turn.of(geometry.to_ras()) for geometry in geometries]
    spacings = [turn.order(geometry.spacing) for turn, geometry in zip(turns, geometries, strict=True)]
    axis = widest(spacings) if axis is None else axis
    folder = cache_place(cache_folder)
    for done, (case, geometry, turn) in enumerate(zip(manifest.cases, geometries, turns, strict=True), start=1):
        hashed = _hashed(manifest, case)
        spacing = (spacings[done - 1][axis], *np.delete(spacings[done - 1], axis).tolist())
        cases.append(case.model_copy(update={"hashes": hashed, "spacing": spacing, "pixels": hashed[case.images[0]]}))
        shapes[case.id] = tuple(int(size) for size in np.delete(turn.order(geometry.shape), axis))
        counted[case.id] = _values(manifest.path(case.masks[0]), hashed[case.masks[0]], axis, turn, folder)
        if progress is not None:
            progress(done, len(manifest.cases))
    manifest = manifest.model_copy(update={"cases": tuple(cases)})
    if not read_before or manifest.classes.labels is not None:
        reading = _reading(manifest, counted)
        manifest = manifest.model_copy(update={"labels": reading.rule, "classes": reading.classes})
    facts = {
        name: Facts(height, width, "grey", 8, dict(sum(map(Counter, counted[name]), Counter())), "")
        for name, (height, width) in shapes.items()
    }
    pixels = {name: tuple(manifest.labels.class_pixels(one) for one in slices) for name, slices in counted.items()}
    empty = frozenset(
        name for name, slices in pixels.items() if not any(0 < label < IGNORE for one in slices for label in one)
    )
    return Opened(complete(manifest, empty, seed=seed), Census(facts, empty), axis, pixels)


class Volumes:
    """Slices of volumes, at native size; the volumes used last stay in memory."""

    def __init__(self, manifest: Manifest, axis: int) -> None:
        self._manifest, self._axis = manifest, axis
        self._kept: OrderedDict[tuple[str, str], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def image(self, case: Case, index: int) -> NDArray[np.uint8]:
        """One slice H×W: 0 and 255 are its volume's 0.5th and 99.5th percentile."""
        return self._slice(case, "image", index)

    def mask(self, case: Case, index: int) -> NDArray[np.uint8]:
        """Class indices of one slice."""
        return self._slice(case, "mask", index)

    def _slice(self, case: Case, what: str, index: int) -> NDArray[np.uint8]:
        with self._lock:
            key = (case.id, what)
            if key not in self._kept:
                self._kept[key] = self._read(case, what)
            self._kept.move_to_end(key)
            while len(self._kept) > 2 * _OPEN:
                self._kept.popitem(last=False)
            return np.ascontiguousarray(np.take(self._kept[key], index, self._axis))

    def _read(self, case: Case, what: str) -> NDArray[np.uint8]:
        relative = case.images[0] if what == "image" else case.masks[0]
        path = self._manifest.path(relative)
        if case.hashes.get(relative, "") not in ("", sha256(path)):
            raise DataError(f"{path} has changed since it was inspected; restore it or start from the folder anew")
        turn = Turn.of(read_geometry(self._manifest.path(case.images[0])).to_ras())
        if what == "mask":
            return turn.apply(labels.apply(self._manifest.labels, read_raw_labels(path).pixels, path))
        return turn.apply(windowed(open_image(path).read(), path))


def windowed(voxels: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """A volume's voxels as bytes: its 0.5th percentile is 0, its 99.5th 255. Raises `DataError` for voxels that are not numbers."""
    values = voxels.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{path} has voxels that are not numbers (NaN or infinite); replace them")
    low, high = (float(limit) for limit in np.percentile(values, (0.5, 99.5)))
    values -= np.float32(low)
    values *= np.float32(255 / max(high - low, 1e-6))
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def widest(spacings: list[tuple[float, float, float]]) -> int:
    """The axis across the slices: that of the widest spacing (median over the volumes), the last where several are as wide."""
    typical = np.median(np.array(spacings), axis=0)
    return int(max(axis for axis in range(3) if typical[axis] >= 0.99 * typical.max()))


def _discover(source: DataSource) -> Manifest:
    match = find_volumes(source.path, source.images, source.masks)
    if match is None:
        raise DataError(
            f"{source.path} holds volumes but no label volumes; put them into a folder masks/ with equal names"
        )
    raise_errors(match.findings)
    return to_manifest(match)


def _geometry(manifest: Manifest, case: Case) -> Geometry:
    image, mask = manifest.path(case.images[0]), manifest.path(case.masks[0])
    geometry = read_geometry(image)
    check_same_geometry(geometry, image, read_geometry(mask), mask)
    return geometry


def _hashed(manifest: Manifest, case: Case) -> dict[str, str]:
    found = {relative: sha256(manifest.path(relative)) for relative in (*case.images, *case.masks)}
    changed = next((name for name, digest in case.hashes.items() if found.get(name) != digest), None)
    if changed is not None:
        raise DataError(
            f"{manifest.path(changed)} is not the file of the manifest; restore it or start from the folder"
        )
    return found


def _values(path: Path, digest: str, axis: int, turn: Turn, folder: Path) -> list[dict[int, int]]:
    """Of each slice, raw label value → pixels."""
    key = hashlib.sha256(f"{_FORMAT} {digest} {axis} {turn.axes} {turn.flips}".encode()).hexdigest()[:32]
    index = folder / "slices" / f"{key}.json"
    try:
        return [{int(value): int(count) for value, count in one.items()} for one in read_json(index)]
    except (OSError, ValueError, TypeError, AttributeError):
        voxels = np.moveaxis(turn.apply(read_raw_labels(path).pixels), axis, 0)
        counted = [count_values(np.ascontiguousarray(one)) for one in voxels]
        with suppress(DelineateError):  # saves time only: a cache that cannot be written is no reason to stop
            write_json(index, [{str(value): count for value, count in one.items()} for one in counted])
        return counted


def _reading(manifest: Manifest, counted: Mapping[str, list[dict[int, int]]]) -> Reading:
    """The rule over all volumes: that of a table beside them, or what their values tell."""
    files = [MaskValues(case.masks[0], dict(sum(map(Counter, counted[case.id]), Counter()))) for case in manifest.cases]
    try:
        if manifest.classes.labels is not None:
            return read_by_table(manifest.classes, files)
        return read_by_evidence(files)
    except DataError as error:
        raise DataError(f"{manifest.root}: {error}") from error
