"""A large picture made small enough to be looked at. It is never held whole."""

from __future__ import annotations

import numpy as np

from delineate.data.core.input_spec import Pixels
from delineate.data.formats.contract import ImageHandle

__all__ = ["overview"]

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
