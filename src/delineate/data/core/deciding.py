"""Probabilities at an image's own size → the class of each pixel, a plane at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.regions import Region

__all__ = ["class_map", "painted"]


def painted(channels: int, regions: Sequence[Region]) -> list[tuple[int, int]] | None:
    """What each channel paints, where each has a probability of its own.

    Args:
        channels: Of the network's output.
        regions: One for each channel, in the order in which they are painted; none: the channels are classes.

    Returns:
        (channel, class index), in the order of painting; None where several classes compete for a pixel.

    Example:
        >>> from delineate.data.core.deciding import painted
        >>> painted(1, ()), painted(3, ())
        ([(0, 1)], None)
    """
    if regions:
        return [(at, region.paints) for at, region in enumerate(regions) if region.paints is not None]
    return [(0, 1)] if channels == 1 else None


def class_map(
    planes: Iterable[NDArray[np.float32]], paints: Sequence[tuple[int, int]] | None, threshold: float
) -> NDArray[np.uint8]:
    """The class of each pixel of one image. Holds two planes at a time, however many there are.

    Args:
        planes: Probabilities H×W of each channel in turn; the first is overwritten.
        paints: As `painted` gives it.
        threshold: What is enough for one foreground class, and for each region. Several classes need none: the most probable
            one, the first of equals.

    Returns:
        Class indices uint8 H×W.
    """
    if paints is None:
        return _most_probable(planes)
    of_channel = dict(paints)
    found: NDArray[np.uint8] | None = None
    for channel, plane in enumerate(planes):
        found = np.zeros(plane.shape, np.uint8) if found is None else found
        if channel in of_channel:
            found[plane >= threshold] = of_channel[channel]
    assert found is not None, "an output has a channel"
    return found


def _most_probable(planes: Iterable[NDArray[np.float32]]) -> NDArray[np.uint8]:
    planes = iter(planes)
    best = next(planes)
    found: NDArray[np.uint8] = np.zeros(best.shape, np.uint8)
    for index, plane in enumerate(planes, start=1):
        found[plane > best] = index
        np.maximum(best, plane, out=best)
    return found
