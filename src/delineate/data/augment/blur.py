"""Blur by a Gaussian."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import cv2
import numpy as np

from delineate.data.augment.pixels import shaped
from delineate.data.augment.transform import PixelTransform, Probability, Range, Size, Transform, TransformSettings

__all__ = ["Blur", "BlurSettings"]


class Blur(PixelTransform):
    name: Literal["blur"] = "blur"
    sigma: float
    """Pixels."""

    def apply(self, image: Any) -> Any:
        return shaped(cv2.GaussianBlur(image, (0, 0), self.sigma), image)


class BlurSettings(TransformSettings):
    transform: ClassVar[type[Transform]] = Blur

    blur: Probability = 0.0
    """Probability of blurring by a Gaussian."""
    blur_sigma: Range = (0.5, 1.5)
    """Its standard deviation in pixels; drawn evenly."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        return Blur(sigma=rng.uniform(*self.blur_sigma)) if rng.random() < self.blur else None
