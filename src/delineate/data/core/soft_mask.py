"""Soft masks: the foreground's share of each pixel, where a mask is interpolated instead of taken at the nearest pixel.

A share is a byte, 255 = all of the pixel. Ignored pixels (255 in the mask) take no part in the interpolation: a share is that of
the valid pixels about a place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.manifest import IGNORE

__all__ = ["NO_TARGETS", "Interpolate", "Targets", "as_target", "foreground_share", "interpolated"]

Interpolate = Callable[[Any, float], Any]
"""(map H×W, value outside of it) → the map elsewhere, by linear interpolation."""


@dataclass(frozen=True)
class Targets:
    """Which further targets a method learns from, beside the mask.

    Example:
        >>> from delineate.data.core.soft_mask import Targets
        >>> Targets(soft=True).unaugmented
        False
    """

    soft: bool = False
    """`Batch.target`: the mask resized and augmented by linear interpolation."""
    unaugmented: bool = False
    """`Batch.unaugmented_target`: the same, or with `soft` false the mask, before augmentation."""


NO_TARGETS = Targets()
"""Masks are enough."""


def foreground_share(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The shares of a mask as it is: 255 in pixels of any foreground class, else 0."""
    return np.where((mask > 0) & (mask != IGNORE), 255, 0).astype(np.uint8)


def interpolated(share: NDArray[np.uint8], valid: NDArray[np.bool_], interpolate: Interpolate) -> NDArray[np.uint8]:
    """Shares elsewhere, of the valid pixels alone; 0 where there are none. What is outside counts as background.

    Costs a second interpolation, in floats, where some pixels are not valid.
    """
    if valid.all():
        return interpolate(share, 0)
    inside = interpolate(np.where(valid, share, 0).astype(np.float32), 0)
    weight = interpolate(valid.astype(np.float32), 1)
    found = np.divide(inside, weight, out=np.zeros_like(inside), where=weight > 0)
    return np.rint(found).clip(0, 255).astype(np.uint8)


def as_target(share: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shares as a loss takes them: float32 in [0, 1], and 255 where the mask is ignored."""
    return np.where(mask == IGNORE, np.float32(IGNORE), share / np.float32(255))
