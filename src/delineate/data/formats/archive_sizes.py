"""How much packed files may unpack to: what their headers claim is checked before anything is unpacked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError

__all__ = ["MAX_VOXELS", "check_chunks", "check_size"]

MAX_VOXELS = 2_000_000_000
"""Of an array or a slice that is held as a whole. Large arrays of many slices are not (`data.formats.npz`)."""
_LARGEST_NUMBER = 16
"""Bytes of one number."""


def check_size(path: Path, shape: Sequence[int], itemsize: int, number: int | None, max_pixels: int | None) -> None:
    """Raise `DataError` for an array, or one of its slices (`number`), above the limits."""
    plane = sorted(shape if number is None else shape[1:])[-2:]
    size = "×".join(map(str, shape))
    if max_pixels is not None and math.prod(plane) > max_pixels:
        raise DataError(
            f"{path} has {size} pixels, above the limit of {max_pixels / 1e6:g} megapixels; "
            "raise it with --max-megapixels if the machine's memory allows"
        )
    if (
        (number is None and math.prod(shape) > MAX_VOXELS)
        or math.prod(plane) > MAX_VOXELS
        or itemsize > _LARGEST_NUMBER
    ):
        raise DataError(f"{path} has an array of {size} numbers, above the limit of {MAX_VOXELS:,}; save it in parts")


def check_chunks(path: Path, array: Any, number: int | None) -> None:
    """Raise `DataError` for a chunk of an HDF5 array that is larger packed than unpacked: what it unpacks to has no bound then.

    Looks at the chunks of one slice, or at all.
    """
    if array.chunks is None or not array.size:
        return
    whole = math.prod(array.chunks) * array.dtype.itemsize
    check_size(path, array.chunks, array.dtype.itemsize, None, None)
    starts = [range(0, size, step) for size, step in zip(array.shape, array.chunks, strict=True)]
    if number is not None:
        starts[0] = range(number - number % array.chunks[0], number + 1, array.chunks[0])
    for place in itertools.product(*starts):
        stored = array.id.get_chunk_info_by_coord(place).size
        if stored and stored > whole + whole // 10 + 4096:
            raise DataError(f"{path} is damaged: a part of it is larger packed than unpacked; restore or remove it")
