"""`data convert` as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.requests.data import ConvertOptions
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.data.convert.convert import ConversionResult
    from delineate.data.layouts.source import DataSource

__all__ = ["convert_data"]


@takes(ConvertOptions)
def convert_data(
    data: Path | str | DataSource,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[ConvertOptions],
) -> ConversionResult:
    """Write a data set in a form that other tools read: the same masks bit for bit, names of classes and splits kept.

    Args:
        data: Folder, packed file, archive, table or manifest.json; or a `DataSource`, which says more of it.
        progress: Called with (steps done, steps in all): each case is read, then written.

    Returns:
        How many cases were written, and what the form has no place for.

    Raises:
        DataError: Faults of the data; masks that the form cannot express; `out` that is not empty or lies in the data.

    Example:
        >>> made = delineate.convert_data("polyps", to="nnunet", out="nnUNet_raw/Dataset501_Polyps")
        >>> made.cases, sorted(made.splits)
        (8, ['test', 'train', 'val'])
    """
    from delineate.data.convert.convert import convert

    return convert(
        data,
        options["to"],
        Path(options["out"]),
        instances=options["instances"],
        max_pixels=options["max_pixels"],
        progress=progress or (lambda done, total: None),
    )
