"""`data split` without folds: a published division by patient, and masks kept for a part of the training cases only."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.cases.census import Progress
from delineate.data.core.findings import Finding, raise_errors
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.splits.folds import SplitResult
from delineate.data.splits.label_share import keep_labeled
from delineate.data.splits.leakage import examine_duplicates, leaks
from delineate.data.splits.published import apply_published_list, find_published_list
from delineate.data.splits.seeded import complete

__all__ = ["resplit"]


def resplit(
    data: Path | DataSource,
    *,
    published: str | None = None,
    labeled: float | None = None,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
) -> SplitResult:
    """Read a data set's folder, or a manifest, and divide it.

    `published`: a list of `data.splits.published`, in place of the data's own splits. `labeled`: the share of the training
    groups that keep their masks (`data.splits.label_share.keep_labeled`). Validation cases are drawn as `open_data`
    does where there are none. Raises `DataError` as `open_data`, for an unknown list and for a share that does not fit.
    """
    source = as_source(data)
    manifest = source.manifest()
    if manifest.folds:
        raise DataError(
            f"{source.path} has folds; --list and --labeled divide data without: give the data set's folder"
        )
    findings: list[Finding] = []
    if published is not None:
        manifest, findings = apply_published_list(manifest, find_published_list(published))
    near = source.join == "near"
    result, duplicates = examine_duplicates(manifest, near=near, max_pixels=max_pixels, progress=progress)
    raise_errors(result.findings)
    census = result.census
    manifest = complete(result.manifest, census.empty, seed=seed, pairs=duplicates.pairs(source.join))
    findings += [finding for finding in leaks(manifest, duplicates.placed(manifest)) if finding.severity == "warning"]
    if labeled is not None:
        manifest = keep_labeled(manifest, census, labeled, seed=seed)
    return SplitResult(manifest, findings)
