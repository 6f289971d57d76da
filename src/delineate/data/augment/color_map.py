"""One affine map of RGB space, which all color changes of a sample become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.pixels import full_scale, looked_up

__all__ = ["LUMA", "ColorMap"]

LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


@dataclass(frozen=True)
class ColorMap:
    """RGB in [0, 1] → contrast · (mixing · RGB − ½) + ½ + brightness."""

    mixing: NDArray[np.float64] | None = None
    """3×3, none of which changes a gray or the luma; None where colors stay as they are. Images of one channel have none."""
    contrast: float = 1.0
    brightness: float = 0.0

    def matrix(self) -> NDArray[np.float64]:
        """3×4: the linear part and what is added."""
        linear = self.contrast * (np.eye(3) if self.mixing is None else self.mixing)
        return np.column_stack([linear, np.full(3, self.added)])

    @property
    def added(self) -> float:
        return 0.5 * (1 - self.contrast) + self.brightness

    def apply(self, image: Any) -> Any:
        """H×W×C (uint8, or float32 in [0, 1]; C = 1 or 3) → the same shape and type; the image itself where nothing changes."""
        mixes = self.mixing is not None and image.shape[2] == 3
        if not mixes and self.brightness == 0 and self.contrast == 1:
            return image
        full = full_scale(image)
        if mixes:
            matrix = self.matrix()
            matrix[:, 3] *= full
            result = cv2.transform(image, matrix.astype(np.float32))
            return result if image.dtype == np.uint8 else np.clip(result, 0, 1)
        offset = self.added * full
        if image.dtype == np.uint8:
            return looked_up(image, np.arange(256) * self.contrast + offset)
        return np.clip(image * np.float32(self.contrast) + np.float32(offset), 0, 1)
