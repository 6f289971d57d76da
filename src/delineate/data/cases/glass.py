"""Empty glass: tiles of a slide that show nothing but the bright, colorless background need not pass the network.

The rule `glass`: all but one in a thousand pixels of a tile are bright (each channel at least 215 of 255) and nearly colorless
(channels differ by at most 20). Pale tissue is colored, and thin membranes in fat are more than one pixel in a thousand.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.formats.contract import ImageHandle

__all__ = ["RULE", "Background", "bright_pixels", "is_glass", "leaves_out"]

Background = Literal["auto", "skip", "keep"]
"""Whether tiles of empty glass are left out; `auto`: of slides."""
RULE = "glass"

_BRIGHT, _COLORLESS = 215, 20
_EXCEPT = 1e-3
_SLIDE = 5.0
"""Micrometers: pictures in color whose pixels are no larger come from a microscope."""


def bright_pixels(pixels: Pixels) -> NDArray[np.bool_]:
    """Which pixels h×w×3 of bytes are bright and nearly colorless."""
    least, most = pixels.min(axis=2), pixels.max(axis=2)
    empty: NDArray[np.bool_] = (least >= _BRIGHT) & (most - least <= _COLORLESS)
    return empty


def is_glass(pixels: Pixels) -> bool:
    """Whether a tile h×w×3 of bytes is empty by the rule."""
    empty = bright_pixels(pixels)
    return bool(np.count_nonzero(empty) >= (1 - _EXCEPT) * empty.size)


def leaves_out(background: Background, handle: ImageHandle, spec: InputSpec) -> bool:
    """Whether tiles of a picture are looked at by the rule: only those in color, of 8 bits, seen in color."""
    if background == "keep" or spec.in_channels != 3 or handle.dtype != np.uint8 or len(handle.channels) < 3:
        return False
    return background == "skip" or (handle.microns is not None and max(handle.microns) <= _SLIDE)
