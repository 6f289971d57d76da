"""Intensity rules: how the numbers of an image become [0, 1]. Each but `range` has two limits, the values that become 0 and 1.

| rule | 0 and 1 are | has no meaning for |
| --- | --- | --- |
| `range` | 0 and the type's maximum | signed and float pixels, whose type says nothing of what is white |
| `percentile` | the image's 0.5th and 99.5th percentile | – |
| `window` | level ∓ width / 2, in the file's values | images of which the values have no unit |
| `zscore` | the mean ∓ `zscore_clip` standard deviations of the image, or of the volume that a slice is of | – |

What is beyond the limits becomes 0 or 1. Where channels are named, percentiles and deviations are those of each channel; a window
is the same for all, unless each channel has a rule of its own (`data.core.channel_rules`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError

__all__ = [
    "LEAST",
    "NO_NUMBERS",
    "USUAL_CLIP",
    "Bound",
    "Limits",
    "Pixels",
    "Rule",
    "SingleNumbers",
    "VolumeNumbers",
    "are_numbers",
    "by_channel",
    "check_rule",
    "deviations",
    "distance",
    "from_low",
    "from_middle",
    "of_range",
    "percentiles",
    "restored",
    "shown",
    "stored",
    "usable",
    "whole_range",
]

Pixels = NDArray[Any]
"""An image in its source's own type: uint8, uint16, int16 or float32."""
Rule = Literal["range", "percentile", "window", "zscore"]
SingleNumbers = Literal["bytes", "own", "standardized"]
"""What slices of volumes come as: bytes between their volume's 0.5th and 99.5th percentile, the values of their file, or these less
the volume's mean, in its standard deviations."""
VolumeNumbers = SingleNumbers | tuple[SingleNumbers, ...]
"""The same, or of each channel where they differ: all are float32 then, bytes from 0 to 255."""
Bound = float | NDArray[np.float64]
"""One number for all channels, or one for each where these are named: T1 and FLAIR have nothing to do with each other."""
Limits = tuple[Bound, Bound]
"""Pixel values that become 0 and 1."""

USUAL_CLIP = 3.0
"""Standard deviations on either side of the mean that `zscore` keeps where none are stated."""
_TYPES = (np.uint8, np.uint16, np.int16, np.float32)
LEAST = 1e-6
"""The least distance of limits; of float pixels as a share of their size."""
_MOST = 1e30
"""No image has values beyond: what is there, such as -3.4e38, stands for values that are missing."""
NO_NUMBERS = "that are not numbers (NaN, infinite or beyond ±1e30, which stand for missing values); replace them"
"""What is wrong with voxels or pixels, for messages."""


def are_numbers(values: NDArray[Any]) -> bool:
    """Whether all values can be those of an image."""
    return values.size == 0 or bool(values.min() >= -_MOST and values.max() <= _MOST)  # NaN is neither


def usable(image: Pixels) -> Pixels:
    """The image in one of the types that can be resized: others become float32. Raises `DataError` for NaN and infinities."""
    if image.dtype not in _TYPES or not image.dtype.isnative:
        wanted = image.dtype.newbyteorder("=")
        image = image.astype(wanted if wanted in _TYPES else np.float32)
    if image.dtype == np.float32 and not are_numbers(image):
        raise DataError(f"the image has pixels {NO_NUMBERS}")
    return image


def percentiles(pixels: Pixels, *, each: bool = False) -> Limits:
    """The limits of the `percentile` rule, over all channels of h×w×C pixels, or of `each` by itself."""
    if each:
        low, high = np.percentile(pixels, (0.5, 99.5), axis=(0, 1))
        return low, high
    low, high = np.percentile(pixels, (0.5, 99.5))
    return float(low), float(high)


def deviations(pixels: Pixels, clip: float, *, each: bool = False) -> Limits:
    """The limits of the `zscore` rule, over all channels of h×w×C pixels, or of `each` by itself."""
    if each:
        middle, away = pixels.mean((0, 1), np.float64), clip * pixels.std((0, 1), np.float64)
        return middle - away, middle + away
    mean, reach = float(pixels.mean(dtype=np.float64)), clip * float(pixels.std(dtype=np.float64))
    return mean - reach, mean + reach


def whole_range(pixels: Pixels) -> Limits:
    """The limits of the `range` rule. Raises `DataError` for pixels of which the type does not tell what is white."""
    if pixels.dtype.kind != "u":
        raise DataError(
            f"input.intensity=range has no meaning for {pixels.dtype} pixels, whose type does not tell what is white; "
            "use percentile, zscore, or window with its level and width"
        )
    return 0.0, float(np.iinfo(pixels.dtype).max)


def of_range(pixels: Pixels) -> NDArray[np.float32]:
    """The `range` rule. Raises `DataError` as `whole_range`."""
    return np.divide(pixels, np.float32(whole_range(pixels)[1]), dtype=np.float32)


def from_low(pixels: Pixels, limits: Limits) -> NDArray[np.float32]:
    """Between the limits, measured from the lower one; equal limits make 0 of what is not above them."""
    scale = 1.0 / distance(pixels, limits)
    return np.clip((pixels.astype(np.float32) - np.float32(limits[0])) * np.float32(scale), 0, 1)


def from_middle(pixels: Pixels, limits: Limits) -> NDArray[np.float32]:
    """Between the limits, measured from their middle; equal limits make ½ of what is equal to them."""
    scale = 1.0 / distance(pixels, limits)
    unit = (pixels.astype(np.float32) - np.float32((limits[0] + limits[1]) / 2)) * np.float32(scale)
    unit += np.float32(0.5)
    return np.clip(unit, 0, 1, out=unit)


def by_channel(pixels: Pixels, limits: Limits, from_low: Sequence[bool]) -> NDArray[np.float32]:
    """Each channel as `from_low`, or as `from_middle`."""
    scale = np.float32(1.0 / distance(pixels, limits))
    zero = np.where(from_low, limits[0], (limits[0] + limits[1]) / 2).astype(np.float32)
    unit = (pixels.astype(np.float32) - zero) * scale
    unit += np.where(from_low, np.float32(0), np.float32(0.5))
    return np.clip(unit, 0, 1, out=unit)


def distance(pixels: Pixels, limits: Limits) -> Any:
    """Of the limits, a `Bound`, but never so little that rounding would be seen."""
    low, high = limits
    least: Any = LEAST
    if pixels.dtype.kind == "f":
        least = np.maximum(LEAST * np.maximum(np.abs(low), np.abs(high)), float(np.finfo(np.float32).tiny))
    return np.maximum(high - low, least)


def stored(unit: NDArray[np.float32], dtype: np.dtype[Any]) -> Pixels:
    """[0, 1] → the type's 0 … maximum, which costs half a level by rounding; floats as they are."""
    if dtype.kind == "f":
        return unit
    full = np.float32(np.iinfo(dtype).max)
    return np.rint(unit * full).astype(dtype)


def restored(pixels: Pixels) -> NDArray[np.float32]:
    """What was `stored` → [0, 1]."""
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)


def shown(pixels: Pixels) -> Pixels:
    """What people are shown of pixels: own values as bytes, of which 0 and 255 are their 0.5th and 99.5th percentile; others as
    they are."""
    if pixels.dtype.kind != "f":
        return pixels
    return stored(from_low(pixels, percentiles(pixels)), np.dtype(np.uint8))


def check_rule(rule: str, window_level: float | None, window_width: float | None, zscore_clip: float | None) -> None:
    """`ValueError` where a rule lacks what it needs, or a number is stated that belongs to another rule. `rule`: or "auto"."""
    numbers = {"window_level": window_level, "window_width": window_width, "zscore_clip": zscore_clip}
    for key, value in numbers.items():
        owner = key.partition("_")[0]
        if value is not None and rule != owner:
            raise ValueError(f"{key} is for intensity={owner} only (given: intensity={rule})")
    if rule == "window" and (window_level is None or window_width is None):
        raise ValueError("intensity=window needs window_level and window_width, in the values of the images")
