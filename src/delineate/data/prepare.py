"""The data room's front door: a folder, or a manifest that was saved before → cases that are ready to train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.case import Manifest
from delineate.data.copies import examine_copies, leaks
from delineate.data.findings import Finding, raise_errors
from delineate.data.images import DEFAULT_MAX_PIXELS
from delineate.data.inspect import Census, Progress
from delineate.data.source import DataSource, as_source
from delineate.data.splits import complete

NEAR_LIMIT = 5000
"""Near duplicates are looked for among so many cases at most: the time grows with the square of their number."""


@dataclass(frozen=True)
class Opened:
    """A data set that is ready to train on."""

    manifest: Manifest
    census: Census
    leaks: tuple[Finding, ...] = ()
    """Warnings of what lies in more than one split, as `data check` gives them."""


def open_data(
    data: Path | DataSource,
    *,
    fold: int | None = None,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
) -> tuple[Manifest, Census]:
    """Recognise, read, check and split a data set.

    `data` may be a manifest's JSON file: then its files must be the very same (by SHA-256), and its label rule and splits hold.
    A manifest with folds needs `fold`: that one becomes the validation split, the others the training split. A split that is drawn
    keeps groups and copies of a picture together, as the source says.
    Raises `DataError` with the first fault and the number of the others.
    """
    opened = open_watched(data, fold=fold, seed=seed, max_pixels=max_pixels, progress=progress, watch=False)
    return opened.manifest, opened.census


def open_watched(
    data: Path | DataSource,
    *,
    fold: int | None = None,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
    watch: bool = True,
) -> Opened:
    """`open_data`, and what leaks from split to split.

    `watch`: also look for near duplicates in splits that are given; in those that are drawn they are looked for in any case. Among
    more than `NEAR_LIMIT` cases they are not, which is said.
    """
    source = as_source(data)
    manifest = source.manifest()
    if not Path(manifest.root).is_dir():
        raise DataError(
            f"{source.path} points to {manifest.root}, which is not there; restore that folder or edit 'root'"
        )
    if fold is not None:
        manifest = manifest.of_fold(fold)
    elif manifest.folds and not manifest.split("val"):
        raise DataError(f"{source.path} has {manifest.folds} folds; choose one with --fold 0 … {manifest.folds - 1}")
    wanted = source.join == "near" and (watch or not manifest.split("val"))
    near = wanted and len(manifest.cases) <= NEAR_LIMIT
    result, copies = examine_copies(manifest, near=near, max_pixels=max_pixels, progress=progress)
    raise_errors(result.findings)
    census = result.census
    manifest = complete(result.manifest, census.empty, seed=seed, pairs=copies.pairs(source.join))
    found = [finding for finding in leaks(manifest, copies.placed(manifest)) if finding.severity == "warning"]
    if wanted and not near:
        text = f"near duplicates were not looked for among {len(manifest.cases)} cases; `delineate data check` does"
        found.append(Finding("warning", text))
    return Opened(manifest, census, tuple(found))
