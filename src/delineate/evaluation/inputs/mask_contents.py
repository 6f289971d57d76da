"""What mask files hold, counted before anything is decided about them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from delineate.data.core.mask_values import MaskValues, mask_values
from delineate.data.formats.registry import read_raw_labels

__all__ = ["read_mask_values"]


def read_mask_values(paths: Sequence[Path], names: Sequence[str]) -> list[MaskValues]:
    """Of each mask file, image or volume, its raw values; several files at a time. Raises `DataError` as reading does."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda path, name: mask_values(read_raw_labels(path), name), paths, names))
