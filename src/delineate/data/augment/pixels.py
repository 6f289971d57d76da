"""Helpers that work on bytes and on floats in [0, 1]."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["full_scale", "looked_up", "shaped"]


def full_scale(image: Any) -> float:
    """The value of white in an image.

    Args:
        image: H×W×C, uint8 or float32 in [0, 1].

    Returns:
        255 for uint8, 1 for float32.

    Example:
        >>> from delineate.data.augment.pixels import full_scale
        >>> full_scale(np.zeros((4, 4, 3), np.uint8)), full_scale(np.zeros((4, 4, 3), np.float32))
        (255.0, 1.0)
    """
    return 255.0 if image.dtype == np.uint8 else 1.0


def shaped(result: Any, like: Any) -> Any:
    """The result in the shape of `like`: OpenCV drops the axis of a single channel."""
    return result.reshape(like.shape)


def looked_up(image: Any, table: NDArray[Any]) -> Any:
    """Bytes → their entries in a table of 256 values, rounded and clipped. Costs one pass over the image."""
    rounded = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return shaped(cv2.LUT(image, rounded), image)
