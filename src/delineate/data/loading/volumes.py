"""A folder of NIfTI volumes with their label volumes: recognised, checked, and indexed slice by slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.cache.place import cache_place
from delineate.data.cases.census import Census, Facts
from delineate.data.cases.volumes import slice_values, widest
from delineate.data.core.findings import raise_errors
from delineate.data.core.geometry import Geometry, check_same_geometry
from delineate.data.core.label_reading import Reading, read_by_evidence, read_by_table
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.core.mask_values import MaskValues
from delineate.data.formats.canonical import Turn
from delineate.data.formats.registry import read_geometry
from delineate.data.layouts.discover import to_manifest
from delineate.data.layouts.source import DataSource
from delineate.data.layouts.volume_sets import LAYOUT, find_volumes, holds_volumes
from delineate.data.splits.seeded import complete


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
    folder = cache_place(cache_folder) / "slices"
    for done, (case, geometry, turn) in enumerate(zip(manifest.cases, geometries, turns, strict=True), start=1):
        hashed = _hashed(manifest, case)
        spacing = (spacings[done - 1][axis], *np.delete(spacings[done - 1], axis).tolist())
        cases.append(case.model_copy(update={"hashes": hashed, "spacing": spacing, "pixels": hashed[case.images[0]]}))
        shapes[case.id] = tuple(int(size) for size in np.delete(turn.order(geometry.shape), axis))
        counted[case.id] = slice_values(manifest.path(case.masks[0]), hashed[case.masks[0]], axis, turn, folder)
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


def _reading(manifest: Manifest, counted: Mapping[str, list[dict[int, int]]]) -> Reading:
    """The rule over all volumes: that of a table beside them, or what their values tell."""
    files = [MaskValues(case.masks[0], dict(sum(map(Counter, counted[case.id]), Counter()))) for case in manifest.cases]
    try:
        if manifest.classes.labels is not None:
            return read_by_table(manifest.classes, files)
        return read_by_evidence(files)
    except DataError as error:
        raise DataError(f"{manifest.root}: {error}") from error
