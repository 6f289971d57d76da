"""zarr, imported when the first OME-Zarr is met: an extra (`zarr`, MIT)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from delineate.common.errors import DataError

__all__ = ["zarr"]


def zarr(what: str) -> Any:
    """The package. `what`: for the line of the `DataError` that is raised where it is missing."""
    try:
        return import_module("zarr")
    except ImportError as error:
        raise DataError(f'{what} is OME-Zarr, which needs zarr: pip install "delineate-seg[zarr]"') from error
