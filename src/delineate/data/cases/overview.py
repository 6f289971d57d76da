"""A large picture made small enough to be looked at. It is never held whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.contract import ANY_SIZE, ImageHandle
from delineate.data.formats.registry import open_image, read_image, read_mask, reader_of

__all__ = ["LARGE", "glance", "is_large_file", "overview"]

LARGE = 1 << 26
"""Pixels from which on a picture is read by windows (67 megapixels), where its format allows it."""
_LONGER = 2048
"""Pixels of the longer side at most."""


def overview(handle: ImageHandle, longer: int = _LONGER) -> Pixels:
    """Every so many pixels of a picture, of its smallest copy that is large enough. Costs unpacking that copy once."""
    large = [level for level in handle.levels if max(level.shape) >= longer] or [handle]
    level = large[-1]
    height, width = level.shape
    step = -(-max(height, width) // longer)
    rows = step * max(1, 256 // step)
    parts = [
        level.window(top, 0, min(rows, height - top), width)[::step, ::step].copy() for top in range(0, height, rows)
    ]
    return np.concatenate(parts)


def is_large_file(path: Path) -> bool:
    """Whether a file is a large picture that is read by windows. Reads its header. Raises `DataError` as `open_image`."""
    if not reader_of(path).windowed:
        return False
    handle = open_image(path, max_pixels=ANY_SIZE)
    return handle.block is not None and not handle.is_volume and handle.shape[0] * handle.shape[1] >= LARGE


def glance(path: Path, *, mask: bool = False) -> Pixels:
    """What a first look at a picture or a mask needs: all pixels, of a large one some. Raises `DataError` as `read_image`."""
    if is_large_file(path):
        copy = overview(open_image(path, max_pixels=ANY_SIZE))
        if mask and copy.ndim > 2:
            raise DataError(f"{path} is a large mask painted in colors, which is not read: save it gray")
        return copy
    return read_mask(path) if mask else read_image(path)
