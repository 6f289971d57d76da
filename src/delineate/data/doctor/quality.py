"""Pictures that show nothing, and reference objects too small to be meant or to be learned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.large import is_large
from delineate.data.cases.pixels import case_mask
from delineate.data.cases.volumes import is_volume
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS

__all__ = ["SMALL", "SPECK", "Light", "Objects", "agreement", "constant_and_dark", "light_of", "measure_objects"]

SPECK = 10
"""Connected parts with fewer pixels than this are specks."""
SMALL = 0.001
"""A case whose whole foreground takes less than this share of the picture: at 128×128 pixels it is 16 of them."""

_DARK = 0.1
"""A dark picture's bright end (99th percentile) lies below this share of the scale …"""
_DARKER = 0.25
"""… and below this share of what is usual in its set: fluorescence is dark throughout and is no fault."""


@dataclass(frozen=True)
class Light:
    """The gray values of a picture, in its own type."""

    low: int
    high: int
    bright: float
    """99th percentile."""


@dataclass(frozen=True)
class Objects:
    """The foreground of a case."""

    share: float
    """Of the picture's pixels."""
    parts: int
    """Connected parts (8 neighbors), counted per class."""
    specks: int
    """Those with fewer than `SPECK` pixels."""


def light_of(image: Pixels) -> Light:
    """Of H×W or H×W×3/4 pixels (alpha left out)."""
    seen = image if image.ndim == 2 else image[..., :3]
    step = max(1, int(np.sqrt(seen.shape[0] * seen.shape[1]) // 256))
    return Light(int(seen.min()), int(seen.max()), float(np.percentile(seen[::step, ::step], 99)))


def constant_and_dark(lights: Mapping[str, Light]) -> tuple[list[str], list[str]]:
    """The pictures of a single value, and those much darker than the set's other pictures.

    The scale is 0 … 255, or up to the set's largest value where pictures have 16 bits.
    """
    constant = [name for name, light in lights.items() if light.low == light.high]
    others = {name: light for name, light in lights.items() if light.low != light.high}
    if not others:
        return constant, []
    scale = max(255, *(light.high for light in others.values()))
    limit = min(_DARK * scale, _DARKER * median(light.bright for light in others.values()))
    return constant, [name for name, light in others.items() if light.bright < limit]


def measure_objects(manifest: Manifest, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> dict[str, Objects]:
    """Case id → its objects, of the pictures with foreground. Masks that cannot be read by the manifest's rule are left out."""

    def measured(case: Case) -> Objects | None:
        try:
            mask = case_mask(manifest, case, max_pixels=max_pixels)
        except DataError:
            return None
        return None if mask is None else _objects(mask)

    pictures = [case for case in manifest.cases if not (is_volume(manifest, case) or is_large(manifest, case))]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = zip(pictures, pool.map(measured, pictures), strict=True)
        return {case.id: objects for case, objects in found if objects is not None}


def agreement(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Dice of the foregrounds of two masks of one size; 1 when both are empty."""
    one, other = ((mask > 0) & (mask != IGNORE) for mask in (first, second))
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def _objects(mask: NDArray[np.uint8]) -> Objects | None:
    classes = [
        value for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist() if 0 < value < IGNORE
    ]
    if not classes:
        return None
    areas: Sequence[int] = [area for value in classes for area in _areas(mask == value)]
    return Objects(sum(areas) / mask.size, len(areas), sum(area < SPECK for area in areas))


def _areas(binary: NDArray[np.bool_]) -> list[int]:
    _, _, statistics, _ = cv2.connectedComponentsWithStats(binary.astype(np.uint8), connectivity=8)
    return [int(area) for area in statistics[1:, cv2.CC_STAT_AREA]]
