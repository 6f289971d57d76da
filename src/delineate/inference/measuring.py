"""What is measured of an image before the network sees it (`data.core.image_statistics`): all of it, or some of its patches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.patches import Corner, cut
from delineate.data.core.image_statistics import measure_image
from delineate.data.core.input_spec import InputSpec, PixelSpacing

__all__ = ["Vector", "encoder_views", "measured", "rounded", "seen_parts", "vector_of"]

Vector = NDArray[np.float64]
_TILES: Final = 3
"""Along each side of an image that is seen in patches, so many are measured at most."""


def seen_parts(
    shown: NDArray[Any], spec: InputSpec, height: int, width: int, spacing: PixelSpacing | None = None
) -> list[NDArray[np.float32]]:
    """What is measured of an image that was prepared for the network.

    Args:
        shown: h×w×C at the working size: float32 in [0, 1]; with `fit=patch` in the image's own type.
        spec: Of the model.
        height: Of the image itself, in pixels.
        width: Of the image itself, in pixels.
        spacing: Of the image itself, in mm.

    Returns:
        The image h×w×C in [0, 1] without padding; with `fit=patch`, at most 3×3 patches of it.
    """
    if spec.fit != "patch":
        top, left, high, wide = spec.placement(height, width, spacing) or (0, 0, *shown.shape[:2])
        return [shown[top : top + high, left : left + wide]]
    limits = spec.limits(shown)
    parts = [shown[top : top + spec.size[0], left : left + spec.size[1]] for top, left in _corners(shown, spec)]
    return [spec.to_unit(part, limits) for part in parts]


def encoder_views(shown: NDArray[Any], spec: InputSpec) -> list[NDArray[np.float32]]:
    """The same as the network sees it: with the padding.

    Args:
        shown: As for `seen_parts`.
        spec: Of the model.

    Returns:
        Images h×w×C of the model's input size.
    """
    if spec.fit != "patch":
        return [shown]
    limits = spec.limits(shown)
    return [spec.to_unit(cut(shown, corner, spec.size), limits) for corner in _corners(shown, spec)]


def measured(parts: Sequence[NDArray[np.float32]], spec: InputSpec) -> dict[str, float]:
    """The statistics of an image.

    Args:
        parts: Of `seen_parts`; their numbers are averaged. Of a slice with neighbors, it alone is measured.
        spec: Of the model.

    Returns:
        Name → number.
    """
    each = parts[0].shape[2] // spec.planes
    own = slice(spec.neighbors * each, (spec.neighbors + 1) * each)
    found = [measure_image(part[..., own], spec.channels) for part in parts]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def vector_of(statistics: dict[str, float], names: Sequence[str]) -> Vector | None:
    """The numbers that a summary is of; None where it has some that this version does not measure."""
    known = [statistics.get(name) for name in names]
    return None if None in known else np.array(rounded(known), np.float64)


def rounded(values: Iterable[Any]) -> tuple[float, ...]:
    """Six digits, as a summary holds them: equal values stay equal."""
    return tuple(float(f"{value:.6g}") for value in values)


def _corners(shown: NDArray[Any], spec: InputSpec) -> list[Corner]:
    """Of the patches that are measured."""
    rows, columns = (_spread(length, side) for length, side in zip(shown.shape, spec.size, strict=False))
    return [(row, column) for row in rows for column in columns]


def _spread(length: int, side: int) -> list[int]:
    """Where patches begin that are spread over a side and do not overlap."""
    if length <= side:
        return [0]
    number = min(_TILES, length // side)
    return (
        [(length - side) * at // max(1, number - 1) for at in range(number)] if number > 1 else [(length - side) // 2]
    )
