"""`data split` without folds: the division of the data or a published one; masks kept for only a part of the training cases."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.cases.census import Progress
from delineate.data.core.findings import Finding, raise_errors
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.splits.folds import SplitResult
from delineate.data.splits.label_budget import LabelBudget
from delineate.data.splits.label_share import keep_labeled
from delineate.data.splits.leakage import examine_duplicates, leaks
from delineate.data.splits.published import apply_published_list, find_published_list
from delineate.data.splits.seeded import complete

__all__ = ["resplit"]


def resplit(
    data: Path | DataSource,
    *,
    published: str | None = None,
    labeled: float | LabelBudget | None = None,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
) -> SplitResult:
    """Read a dataset's folder, or a manifest, and split it. Validation cases are drawn if there are none, as by `open_data`.

    Args:
        data: Folder of the dataset, a manifest without folds, or a source with options.
        published: Name of a list in `data.splits.published`, in place of the dataset's own splits.
        labeled: Share of the training groups that keep their masks, between 0 and 1; or a budget.
        seed: For drawing.
        max_pixels: Larger images are refused.
        progress: Called with (files read, files in all).

    Returns:
        The manifest with splits, and warnings.

    Raises:
        DataError: As `open_data`; the list is unknown or does not fit the dataset; the share leaves out a class.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.splits.resplit import resplit
        >>> manifest = resplit(Path("polyps"), labeled=0.5).manifest
        >>> [bool(case.masks) for case in manifest.split("train")].count(True) < len(manifest.split("train"))
        True
    """
    source = as_source(data)
    manifest = source.manifest()
    if manifest.folds:
        raise DataError(
            f"{source.path} has folds, and --list and --labeled split data without folds: give the data set's folder"
        )
    findings: list[Finding] = []
    if published is not None:
        manifest, findings = apply_published_list(manifest, find_published_list(published))
    near = source.join == "near"
    result, duplicates = examine_duplicates(manifest, near=near, max_pixels=max_pixels, progress=progress)
    raise_errors(result.findings)
    census = result.census
    manifest = complete(source.coded(result.manifest), census.empty, seed=seed, pairs=duplicates.pairs(source.join))
    findings += [finding for finding in leaks(manifest, duplicates.placed(manifest)) if finding.severity == "warning"]
    if labeled is not None:
        manifest = keep_labeled(manifest, census, labeled, seed=seed)
    return SplitResult(manifest, findings)
