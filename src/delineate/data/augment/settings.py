"""Augmentation, first half: what may be drawn, and what was. `transform` makes the pictures of it.

A sample's parameters go through JSON unchanged, so that any augmented picture can be made again from a log.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt

Probability = Annotated[float, Field(ge=0, le=1)]


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the lower limit comes first")
    return limits


Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]


class AugmentSettings(BaseModel):
    """Probabilities and ranges. The defaults change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    flip_horizontal: Probability = 0.0
    flip_vertical: Probability = 0.0

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
    border: Literal["constant", "reflect"] = "constant"
    """Outside the picture: black and background, or its mirror image."""
    elastic: Probability = 0.0
    """Probability of moving every pixel by a smooth random field (Simard et al. 2003)."""
    elastic_alpha: Positive = 10.0
    """Strength, in pixels: the field is drawn evenly from −1 … 1, smoothed, and multiplied by this."""
    elastic_sigma: Positive = 5.0
    """Standard deviation of the Gaussian that smooths the field, in pixels."""

    colour: Probability = 0.0
    """Probability of the four that follow, drawn together."""
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Added: up to this fraction of the full range, to either side."""
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Factor 1 ± this, about mid-grey."""
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Factor 1 ± this."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Turns of the colour circle, to either side."""

    gamma: Probability = 0.0
    """Probability of raising the intensities in [0, 1] to a power."""
    gamma_range: Range = (0.7, 1.5)
    """The power; drawn evenly."""
    grey: Probability = 0.0
    blur: Probability = 0.0
    blur_sigma: Range = (0.5, 1.5)
    """Pixels."""
    noise: Probability = 0.0
    noise_std: Range = (0.01, 0.05)
    """Fraction of the full range."""
    dropout: Probability = 0.0
    """Probability of black rectangles in the image; the mask keeps its labels."""
    dropout_holes: Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_ordered)] = (1, 8)
    dropout_size: Range = (0.05, 0.15)
    """Sides as fractions of height and width."""

    @property
    def changes_nothing(self) -> bool:
        return not any(
            (
                self.flip_horizontal,
                self.flip_vertical,
                self.warp,
                self.elastic,
                self.colour,
                self.gamma,
                self.grey,
                self.blur,
                self.noise,
                self.dropout,
            )
        )


class AugmentParameters(BaseModel):
    """What was drawn for one sample. The defaults change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotate: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    """Down and right, as fractions of height and width."""
    shear: float = 0.0
    border: Literal["constant", "reflect"] = "constant"
    elastic_alpha: float = 0.0
    elastic_sigma: float = 0.0
    elastic_seed: int = 0
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    gamma: float = 1.0
    grey: bool = False
    blur_sigma: float | None = None
    noise_std: float | None = None
    noise_seed: int = 0
    holes: tuple[tuple[int, int, int, int], ...] = ()
    """Top, left, height, width in pixels."""

    @property
    def warps(self) -> bool:
        """Are pixels moved to places between pixels?"""
        return (self.rotate, self.scale, self.shift, self.shear, self.elastic_alpha) != (0.0, 1.0, (0.0, 0.0), 0.0, 0.0)


def sample(settings: AugmentSettings, rng: np.random.Generator, height: int, width: int) -> AugmentParameters:
    """Draw the parameters for one image of height × width pixels."""
    drawn: dict[str, Any] = {}
    if settings.flip_horizontal:
        drawn["flip_horizontal"] = bool(rng.random() < settings.flip_horizontal)
    if settings.flip_vertical:
        drawn["flip_vertical"] = bool(rng.random() < settings.flip_vertical)
    if rng.random() < settings.warp:
        drawn["border"] = settings.border
        drawn["rotate"] = rng.uniform(-settings.rotate, settings.rotate)
        drawn["scale"] = math.exp(rng.uniform(math.log(settings.scale[0]), math.log(settings.scale[1])))
        drawn["shift"] = (rng.uniform(-settings.shift, settings.shift), rng.uniform(-settings.shift, settings.shift))
        drawn["shear"] = rng.uniform(-settings.shear, settings.shear)
    if rng.random() < settings.colour:
        drawn["brightness"] = rng.uniform(-settings.brightness, settings.brightness)
        drawn["contrast"] = rng.uniform(1 - settings.contrast, 1 + settings.contrast)
        drawn["saturation"] = rng.uniform(1 - settings.saturation, 1 + settings.saturation)
        drawn["hue"] = rng.uniform(-settings.hue, settings.hue)
    if rng.random() < settings.grey:
        drawn["grey"] = True
    if rng.random() < settings.blur:
        drawn["blur_sigma"] = rng.uniform(*settings.blur_sigma)
    if rng.random() < settings.noise:
        drawn["noise_std"] = rng.uniform(*settings.noise_std)
        drawn["noise_seed"] = int(rng.integers(2**31))
    if rng.random() < settings.dropout:
        drawn["holes"] = _holes(settings, rng, height, width)
    # What follows draws nothing where it is not asked for, so that older recipes keep their random numbers.
    if settings.elastic and rng.random() < settings.elastic:
        drawn["border"] = settings.border
        drawn["elastic_alpha"], drawn["elastic_sigma"] = settings.elastic_alpha, settings.elastic_sigma
        drawn["elastic_seed"] = int(rng.integers(2**31))
    if settings.gamma and rng.random() < settings.gamma:
        drawn["gamma"] = rng.uniform(*settings.gamma_range)
    return AugmentParameters.model_construct(**drawn)


def _holes(
    settings: AugmentSettings, rng: np.random.Generator, height: int, width: int
) -> tuple[tuple[int, int, int, int], ...]:
    count = int(rng.integers(settings.dropout_holes[0], settings.dropout_holes[1] + 1))
    low, high = settings.dropout_size
    holes = []
    for tall, wide, down, right in zip(*(rng.random((4, count)).tolist()), strict=True):
        hole_h = min(height, max(1, round((low + tall * (high - low)) * height)))
        hole_w = min(width, max(1, round((low + wide * (high - low)) * width)))
        holes.append((int(down * (height - hole_h + 1)), int(right * (width - hole_w + 1)), hole_h, hole_w))
    return tuple(holes)
