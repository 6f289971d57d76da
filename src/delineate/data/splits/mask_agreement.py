"""Whether the masks of two pictures that look alike mark the same place."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_mask
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.splits.near_duplicates import DuplicatePair, oriented

__all__ = ["masks_agree"]

_MIN_DICE = 0.5
"""Least Dice of the masks of two pictures of one thing, drawn by two people, with a slight crop between them."""
_SIDE, _SHIFT = 64, 6
"""Masks are compared at so many pixels a side, one moved over the other by up to so many."""

_Grid = NDArray[np.float32]


def masks_agree(manifest: Manifest, pair: DuplicatePair, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> bool:
    """False where both cases have a mask with foreground, or one has and the other is empty, and they mark different places."""
    cases = {case.id: case for case in manifest.cases if case.id in (pair.first, pair.second)}
    first = _foreground(manifest, cases[pair.first], 0, max_pixels)
    second = _foreground(manifest, cases[pair.second], pair.orientation, max_pixels)
    if first is None or second is None or not (first.any() or second.any()):
        return True
    padded = cv2.copyMakeBorder(second, *(_SHIFT,) * 4, cv2.BORDER_CONSTANT, value=0)
    moves = range(0, 2 * _SHIFT + 1, 3)
    best = max(_dice(first, padded[top : top + _SIDE, left : left + _SIDE]) for top in moves for left in moves)
    return best >= _MIN_DICE


def _foreground(manifest: Manifest, case: Case, orientation: int, max_pixels: int) -> _Grid | None:
    """The share of foreground in each cell of a small grid; None without a mask that can be read."""
    try:
        mask = case_mask(manifest, case, max_pixels=max_pixels)
    except DataError:
        return None
    if mask is None:
        return None
    turned = oriented(((mask > 0) & (mask != IGNORE)).astype(np.float32), orientation)
    return np.asarray(cv2.resize(turned, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _dice(first: _Grid, second: NDArray[np.generic]) -> float:
    return float(2 * np.minimum(first, second).sum() / max(1e-9, float(first.sum() + second.sum())))
