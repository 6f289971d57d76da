"""From any data set that is readable here to a form that other tools read: read once, checked, then written whole or not at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from delineate.common.errors import DataError
from delineate.common.files import new_folder
from delineate.common.names import did_you_mean
from delineate.data.cases.census import Census, inspect
from delineate.data.convert.coco import Coco, Instances
from delineate.data.convert.folders import Folders
from delineate.data.convert.nnunet import NnUNet
from delineate.data.convert.target import DataSet, Target, part_of
from delineate.data.core.findings import some
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource, as_source

__all__ = ["ConversionResult", "Progress", "To", "convert"]

To = Literal["folders", "nnunet", "coco"]
Progress = Callable[[int, int], None]
_WORKERS = 4


@dataclass(frozen=True)
class ConversionResult:
    """What was written."""

    folder: Path
    to: To
    cases: int
    splits: dict[str, int]
    """Split ('none' of cases without) → cases."""
    layout: str
    """What the data set was read as."""
    notes: tuple[str, ...]
    """What the form has no place for, and what its user must do."""


def convert(
    data: Path | str | DataSource,
    to: To,
    out: Path,
    *,
    instances: Instances = "object",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress = lambda done, total: None,
) -> ConversionResult:
    """Write a data set in another form.

    Args:
        data: as every verb takes it.
        to: the form.
        out: a folder that is absent or empty, and outside of the data. It appears when it is complete.
        instances: of `coco`, what an annotation is of: each connected region, or each class of an image.
        max_pixels: of an image.
        progress: called with (steps done, steps in all); a case is read, then written.

    Raises:
        DataError: the data have faults; the form cannot express them; `out` is in the way.
    """
    if to not in get_args(To):
        raise DataError(f"unknown form '{to}': {did_you_mean(str(to), get_args(To))}")
    if instances not in get_args(Instances):
        raise DataError(f"unknown instances '{instances}': {did_you_mean(str(instances), get_args(Instances))}")
    if instances != "object" and to != "coco":
        raise DataError(f"--instances is for --to coco, and says nothing to --to {to}; leave it out")
    source = as_source(data)
    found = source.manifest()
    _check_place(out, [Path(found.root), source.archive or source.path])
    total = 2 * len(found.cases)
    manifest, census = inspect(found, max_pixels=max_pixels, progress=lambda done, _: progress(done, total))
    target = _target(to, _described(manifest, census, max_pixels, out), instances)
    cases = target.check()
    if not any(case.masks for case in cases):
        raise DataError(f"{source.path} has no masks to convert")
    with new_folder(out) as building:
        written = _written(target, cases, building, progress, total)
        target.finish(written, building)
    splits: Counter[str] = Counter(part_of(case) or "none" for case in cases)
    return ConversionResult(out, to, len(cases), dict(splits), manifest.layout, tuple(target.told.notes))


def _target(to: To, data: DataSet, instances: Instances) -> Target:
    if to == "coco":
        return Coco(data, instances)
    return Folders(data) if to == "folders" else NnUNet(data)


def _described(manifest: Manifest, census: Census, max_pixels: int, out: Path) -> DataSet:
    """Raises `DataError` for pictures and volumes in one set, which no other form has."""
    pictures = [name for name, fact in census.facts.items() if not fact.planes]
    if census.axis is not None and pictures:
        raise DataError(f"{manifest.root} holds volumes and pictures ({some(pictures, 3)}); convert them apart")
    ignored = [name for name, fact in census.facts.items() if fact.class_pixels(manifest.labels).get(IGNORE)]
    return DataSet(
        manifest,
        volumes=census.axis is not None,
        channels=frozenset(census.channels),
        floats=census.span is not None,
        ignored=tuple(sorted(ignored)),
        max_pixels=max_pixels,
        out=out,
    )


def _check_place(out: Path, inputs: Sequence[Path]) -> None:
    """Raise `DataError` unless `out` is absent or an empty folder, outside of what is read."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"--out {out}: it is there and not empty; give another folder")
    for place in inputs:
        folder = place if place.is_dir() else None
        if folder is not None and out.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"--out {out} lies inside {folder}, which is never changed; give a folder outside of it")


def _written(
    target: Target, cases: Sequence[Case], folder: Path, progress: Progress, total: int
) -> list[tuple[Case, Any]]:
    written = []
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(target.write, case, folder) for case in cases]
        try:
            for done, (case, job) in enumerate(zip(cases, jobs, strict=True), start=total // 2 + 1):
                written.append((case, job.result()))
                progress(done, total)
        finally:
            pool.shutdown(cancel_futures=True)
    progress(total, total)
    return written
