"""Noise: Gaussian, of each pixel and channel by itself."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from delineate.data.augment.pixels import full_scale
from delineate.data.augment.transform import PixelTransform, Probability, Range, Size, Transform, TransformSettings

__all__ = ["Noise", "NoiseSettings"]


class Noise(PixelTransform):
    """Made anew from its seed."""

    name: Literal["noise"] = "noise"
    std: float
    """As a fraction of the full range."""
    seed: int

    def apply(self, image: Any) -> Any:
        full = full_scale(image)
        noise = np.random.Generator(np.random.SFC64(self.seed)).standard_normal(image.shape, np.float32)
        noise *= np.float32(self.std * full)
        noise += image
        np.clip(noise, 0, full, out=noise)
        return np.rint(noise, out=noise).astype(np.uint8) if image.dtype == np.uint8 else noise


class NoiseSettings(TransformSettings):
    transform: ClassVar[type[Transform]] = Noise

    noise: Probability = 0.0
    """Probability of adding Gaussian noise."""
    noise_std: Range = (0.01, 0.05)
    """Its standard deviation as a fraction of the full range; drawn evenly."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        if rng.random() >= self.noise:
            return None
        return Noise(std=rng.uniform(*self.noise_std), seed=int(rng.integers(2**31)))
