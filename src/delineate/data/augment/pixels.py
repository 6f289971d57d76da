"""What holds for bytes and for floats in [0, 1] alike."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def full_scale(image: Any) -> float:
    """The value of white: 255 for uint8, 1 for float32."""
    return 255.0 if image.dtype == np.uint8 else 1.0


def shaped(result: Any, like: Any) -> Any:
    """OpenCV drops a single channel's axis."""
    return result.reshape(like.shape)


def looked_up(image: Any, table: NDArray[Any]) -> Any:
    """Bytes → what stands in the table at them, rounded and clipped; costs one read and one write of each."""
    rounded = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return shaped(cv2.LUT(image, rounded), image)
