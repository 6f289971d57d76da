"""Color: brightness, contrast, saturation and hue."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from delineate.data.augment.color_map import LUMA, ColorMap
from delineate.data.augment.transform import ColorTransform, Probability, Size, Transform, TransformSettings

__all__ = ["Color", "ColorSettings"]


class Color(ColorTransform):
    """Hue turns the chroma plane about the gray axis, saturation stretches it about the luma, contrast stretches everything about
    mid-gray, brightness adds. Images of one channel have contrast and brightness only."""

    name: Literal["color"] = "color"
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    def join(self, below: ColorMap) -> ColorMap:
        color = replace(below, contrast=self.contrast, brightness=self.brightness)
        if self.saturation == 1 and self.hue == 0:
            return color
        to_luma = np.tile(LUMA, (3, 1))
        return replace(color, mixing=to_luma + self.saturation * (_hue_rotation(self.hue) - to_luma))

    def without_mixing(self) -> ColorTransform | None:
        return self.model_copy(update={"saturation": 1.0, "hue": 0.0})


class ColorSettings(TransformSettings):
    transform: ClassVar[type[Transform]] = Color

    color: Probability = 0.0
    """Probability of the four that follow, drawn together."""
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Added: up to this fraction of the full range, to either side."""
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Factor 1 ± this, about mid-gray."""
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Factor 1 ± this."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Turns of the color circle, to either side."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        if rng.random() >= self.color:
            return None
        brightness = rng.uniform(-self.brightness, self.brightness)
        contrast = rng.uniform(1 - self.contrast, 1 + self.contrast)
        saturation = rng.uniform(1 - self.saturation, 1 + self.saturation)
        hue = rng.uniform(-self.hue, self.hue)
        return Color(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)


def _hue_rotation(turns: float) -> NDArray[np.float64]:
    """Rotation about the gray axis (Rodrigues), sheared so that luma is kept: L·R(v) = L·v."""
    angle, third = 2 * math.pi * turns, 1 / 3
    cos, sin = math.cos(angle), math.sin(angle) * math.sqrt(third)
    same, left, right = cos + (1 - cos) * third, (1 - cos) * third - sin, (1 - cos) * third + sin
    rotation = np.array([[same, left, right], [right, same, left], [left, right, same]])
    return rotation + np.outer(np.ones(3), LUMA - LUMA @ rotation)
