"""Flips: left and right, top and bottom change places."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.pixels import shaped
from delineate.data.augment.transform import GeometricTransform, Probability, Size, Transform, TransformSettings

__all__ = ["Flip", "FlipSettings"]


class Flip(GeometricTransform):
    """Mirrored along one axis, or both."""

    name: Literal["flip"] = "flip"
    horizontal: bool = False
    vertical: bool = False

    @property
    def exact(self) -> bool:
        return True

    def moved(self, pixels: Any) -> Any:
        if not (self.horizontal or self.vertical):
            return pixels
        both = self.horizontal and self.vertical
        return shaped(cv2.flip(pixels, -1 if both else int(self.horizontal)), pixels)

    def linear(self) -> NDArray[np.float64]:
        return np.diag([-1.0 if self.horizontal else 1.0, -1.0 if self.vertical else 1.0])


class FlipSettings(TransformSettings):
    transform: ClassVar[type[Transform]] = Flip

    flip_horizontal: Probability = 0.0
    flip_vertical: Probability = 0.0

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        horizontal = bool(self.flip_horizontal and rng.random() < self.flip_horizontal)
        vertical = bool(self.flip_vertical and rng.random() < self.flip_vertical)
        return Flip(horizontal=horizontal, vertical=vertical) if horizontal or vertical else None
