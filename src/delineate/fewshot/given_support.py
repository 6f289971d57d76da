"""The support as a command line gives it: a folder, or images with masks; pictures or volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.label_table import LabelTable, parse_labels
from delineate.data.layouts.source import DataSource, as_source
from delineate.fewshot.support import Support, check_number
from delineate.fewshot.support_volumes import SupportVolumes, volumes_given, volumes_of_folder

__all__ = ["given_support"]


def given_support(
    folder: Path | DataSource | None,
    images: Sequence[Path],
    masks: Sequence[Path],
    table: str | LabelTable | None = None,
) -> Support | SupportVolumes:
    """A folder in any layout that training reads, or as many images as masks. Raises `DataError` for neither and for both.

    `table`: what the values of such masks mean (`data.core.label_table`); a folder's source has its own.
    """
    if folder is not None and (images or masks):
        raise DataError("give either --support or --support-image with --support-mask, not both")
    if folder is not None:
        source = as_source(folder)
        return volumes_of_folder(source.manifest()) or Support.of_folder(source)
    if not images and not masks:
        raise DataError("there is no support: give --support DIR, or --support-image IMG with --support-mask MASK")
    check_number(len(images), len(masks))
    if isinstance(table, str):
        table = parse_labels(table)
    described = None if table is None else table.classes
    return volumes_given(images, masks, described) or Support.of_files(list(zip(images, masks, strict=True)), described)
