"""From the network's size back to the image's own."""

from __future__ import annotations

import cv2
import numpy as np

from delineate.data.core.input_spec import InputSpec, PixelSpacing
from delineate.inference.segmenter import Probabilities

__all__ = ["native_plane"]


def native_plane(
    plane: Probabilities, spec: InputSpec, height: int, width: int, spacing: PixelSpacing | None = None
) -> Probabilities:
    """Probabilities of one channel, h×w at the working size, without the padding of `fit=letterbox`, as a new array of the image's
    own size in pixels. `spacing`: of its pixels, for models that resample images to theirs."""
    placed = spec.placement(height, width, spacing)
    if placed is not None:
        top, left, inner_h, inner_w = placed
        plane = plane[top : top + inner_h, left : left + inner_w]
    if plane.shape == (height, width):
        return plane.copy()
    shrinking = height < plane.shape[0] and width < plane.shape[1]
    way = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (width, height), interpolation=way), np.float32)
