"""Open a dataset: a folder, or a saved manifest → cases with splits, checked and ready to train on."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.cache.entries import entries_folder
from delineate.data.cases.census import Census, Progress
from delineate.data.cases.volumes import is_volume
from delineate.data.core.axes import axis_choice
from delineate.data.core.findings import raise_errors
from delineate.data.core.manifest import Manifest
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource, Join, as_source
from delineate.data.splits.leakage import Duplicates, examine_duplicates, leaks
from delineate.data.splits.seeded import TooFewPictures, complete

__all__ = ["NEAR_LIMIT", "divided", "open_data"]

NEAR_LIMIT = 5000
"""Near duplicates are searched among at most so many cases: the time grows with the square of their number."""


def open_data(
    data: Path | DataSource,
    *,
    fold: int | None = None,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
    watch: bool = False,
    axis: str | int | None = None,
    cache_folder: Path | None = None,
    validation: bool = True,
) -> tuple[Manifest, Census]:
    """Recognize, read, check and split a dataset.

    Drawn splits keep groups and duplicates of a picture together, as the source says.

    Args:
        data: Folder of the dataset, a manifest's JSON file, or a source with options. The files of a manifest must have the
            recorded SHA-256; its label rule and splits are used.
        fold: Of a manifest with folds, the fold that becomes the validation split. The others become the training split.
        seed: For drawing splits, if the dataset has none.
        max_pixels: Larger images are refused.
        progress: Called with (files read, files in all).
        watch: Search near duplicates in given splits too. Among more than `NEAR_LIMIT` cases they are not searched, and
            the manifest's `leaks` say so.
        axis: Of volumes, the axis across the slices: 0 or "sagittal", 1 or "coronal", 2 or "axial". None or "auto": the axis with
            the widest spacing, the last one of equals. "all": that and the two others.
        cache_folder: Where the labels found in slices of volumes are kept. None: the user's cache folder.
        validation: Whether there must be validation cases. False: none are drawn where the dataset has none.

    Returns:
        The manifest, and the census of what the files hold. Pictures and groups in more than one split are listed in
        the manifest's `leaks`.

    Raises:
        DataError: The first fault, and the number of further ones.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.loading.open_data import open_data
        >>> manifest, census = open_data(Path("polyps"))
        >>> len(manifest.cases), manifest.classes.names
        (8, ('background', 'foreground'))
    """
    across = axis_choice(axis)
    source = as_source(data)
    manifest = source.manifest()
    manifest.check_root(source.path)
    if fold is not None:
        manifest = manifest.of_fold(fold)
    elif manifest.folds and not manifest.split("val"):
        raise DataError(f"{source.path} has {manifest.folds} folds; choose one with --fold 0 … {manifest.folds - 1}")
    volumes = any(is_volume(manifest, case) for case in manifest.cases)
    if across is not None and not volumes:
        raise DataError(
            f"{source.path} holds no volumes, so there is no slice axis to choose; leave out --axis (data.axis)"
        )
    remembered = entries_folder(cache_folder) / "slices" if volumes else None
    drawn = not manifest.split("val") and (validation or not manifest.split("train"))
    wanted = source.join == "near" and ((watch and manifest.leaks is None) or drawn)
    near = wanted and len(manifest.cases) <= NEAR_LIMIT
    result, duplicates = examine_duplicates(
        manifest, near=near, max_pixels=max_pixels, progress=progress, axis=across, remembered=remembered
    )
    raise_errors(result.findings)
    census = result.census
    manifest, torn = divided(
        source.coded(result.manifest), census, duplicates, source.join, seed, validation=validation
    )
    if manifest.leaks is None or near:
        found = [*torn]
        found += [str(leak) for leak in leaks(manifest, duplicates.placed(manifest)) if leak.severity == "warning"]
        if wanted and not near:
            number = len(manifest.cases)
            found.append(f"near duplicates were not looked for among {number} cases; `delineate data check` does")
        manifest = manifest.model_copy(update={"leaks": tuple(found)})
    return manifest, census


def divided(
    manifest: Manifest, census: Census, duplicates: Duplicates, joined: Join, seed: int, *, validation: bool = True
) -> tuple[Manifest, list[str]]:
    """The manifest with splits, and a line where near duplicates had to be divided, since nothing could be trained otherwise.

    Raises `DataError` as `data.splits.seeded.complete`.
    """
    try:
        return complete(manifest, census.empty, seed=seed, pairs=duplicates.pairs(joined), validation=validation), []
    except TooFewPictures as fault:
        if joined != "near":
            raise
        why = str(fault).partition("; give")[0]
    torn = complete(manifest, census.empty, seed=seed, pairs=duplicates.pairs("exact"), validation=validation)
    return torn, [f"near duplicates are divided between the splits: {why}"]
