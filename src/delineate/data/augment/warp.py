"""Warp: rotated, scaled, sheared and shifted, about the picture's center."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from delineate.data.augment.border import BorderedTransform, BorderSettings
from delineate.data.augment.transform import Probability, Range, Size, Transform

__all__ = ["Warp", "WarpSettings"]


class Warp(BorderedTransform):
    name: Literal["warp"] = "warp"
    rotate: float = 0.0
    """Degrees, counterclockwise."""
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    """Down and right, as fractions of height and width."""
    shear: float = 0.0

    @property
    def exact(self) -> bool:
        return (self.rotate, self.scale, self.shift, self.shear) == (0.0, 1.0, (0.0, 0.0), 0.0)

    def moved(self, pixels: NDArray) -> NDArray:
        return pixels

    def linear(self) -> NDArray[np.float64]:
        angle, shear = math.radians(self.rotate), math.tan(math.radians(self.shear))
        cosine, sine = math.cos(angle) * self.scale, math.sin(angle) * self.scale
        turn = np.array([[cosine, sine], [-sine, cosine]])
        return turn @ np.array([[1.0, shear], [0.0, 1.0]])

    def offset(self) -> tuple[float, float]:
        return self.shift


class WarpSettings(BorderSettings):
    transform: ClassVar[type[Transform]] = Warp

    warp: Probability = 0.0
    """Probability of the four that follow, drawn together."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees to either side."""
    scale: Range = (1.0, 1.0)
    """Magnification; drawn evenly in its logarithm."""
    shift: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Fraction of height and width to either side."""
    shear: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Degrees to either side."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        if rng.random() >= self.warp:
            return None
        rotate = rng.uniform(-self.rotate, self.rotate)
        scale = math.exp(rng.uniform(math.log(self.scale[0]), math.log(self.scale[1])))
        down, right = (rng.uniform(-self.shift, self.shift) for _ in range(2))
        shear = rng.uniform(-self.shear, self.shear)
        return Warp(rotate=rotate, scale=scale, shift=(down, right), shear=shear, border=self.border)
