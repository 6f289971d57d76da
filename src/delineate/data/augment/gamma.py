"""Gamma: intensities raised to a power."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from delineate.data.augment.pixels import looked_up
from delineate.data.augment.transform import PixelTransform, Probability, Range, Size, Transform, TransformSettings

__all__ = ["Gamma", "GammaSettings"]


class Gamma(PixelTransform):
    """Intensities in [0, 1] to the power of `power`."""

    name: Literal["gamma"] = "gamma"
    power: float

    def apply(self, image: Any) -> Any:
        if self.power == 1:
            return image
        if image.dtype == np.uint8:
            return looked_up(image, 255 * (np.arange(256) / 255) ** self.power)
        return image ** np.float32(self.power)


class GammaSettings(TransformSettings):
    transform: ClassVar[type[Transform]] = Gamma
    generation: ClassVar[int] = 1

    gamma: Probability = 0.0
    """Probability of raising the intensities in [0, 1] to a power."""
    gamma_range: Range = (0.7, 1.5)
    """The power; drawn evenly."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        if not self.gamma or rng.random() >= self.gamma:
            return None
        return Gamma(power=rng.uniform(*self.gamma_range))
