"""The data room's front door: a folder, or a manifest that was saved before → cases that are ready to train on."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.case import Manifest
from delineate.data.images import DEFAULT_MAX_PIXELS
from delineate.data.inspect import Census, Progress, inspect
from delineate.data.source import DataSource, as_source
from delineate.data.splits import complete


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
    A manifest with folds needs `fold`: that one becomes the validation split, the others the training split.
    Raises `DataError` with the first fault and the number of the others.
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
    manifest, census = inspect(manifest, max_pixels=max_pixels, progress=progress)
    return complete(manifest, census.empty, seed=seed), census
