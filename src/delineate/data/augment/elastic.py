"""Elastic deformation: every pixel is moved by a smooth random field (Simard, Steinkraus & Platt 2003)."""

from __future__ import annotations

from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.border import BorderedTransform, BorderSettings
from delineate.data.augment.transform import Positive, Probability, Size, Transform

__all__ = ["Elastic", "ElasticSettings"]


class Elastic(BorderedTransform):
    """The field is made anew from its seed: a log holds three numbers instead of a picture of them."""

    name: Literal["elastic"] = "elastic"
    alpha: float
    sigma: float
    seed: int

    def field(self, size: Size) -> NDArray[np.float32]:
        random = np.random.Generator(np.random.SFC64(self.seed))
        noise = 2 * random.random((2, *size), np.float32) - 1
        smooth = [cv2.GaussianBlur(one, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT_101) for one in noise]
        return np.stack(smooth) * np.float32(self.alpha)

    @property
    def max_displacement(self) -> float:
        return self.alpha


class ElasticSettings(BorderSettings):
    transform: ClassVar[type[Transform]] = Elastic
    generation: ClassVar[int] = 1

    elastic: Probability = 0.0
    """Probability of moving every pixel by a smooth random field (Simard et al. 2003)."""
    elastic_alpha: Positive = 10.0
    """Strength, in pixels: the field is drawn evenly from −1 … 1, smoothed, and multiplied by this."""
    elastic_sigma: Positive = 5.0
    """Standard deviation of the Gaussian that smooths the field, in pixels."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        if not self.elastic or rng.random() >= self.elastic:
            return None
        seed = int(rng.integers(2**31))
        return Elastic(alpha=self.elastic_alpha, sigma=self.elastic_sigma, seed=seed, border=self.border)
