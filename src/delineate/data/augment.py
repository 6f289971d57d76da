"""Augmentation in two halves: `sample` draws parameters, `apply` is a pure function of (image, mask, parameters).

A sample's parameters go through JSON unchanged, so that any augmented picture can be made again from a log.
All geometry is one affine warp, all colour one affine map of RGB space.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt

from delineate.data.spec import Pixels

Probability = Annotated[float, Field(ge=0, le=1)]


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the lower limit comes first")
    return limits


Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]

_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


class AugmentSettings(BaseModel):
    """Probabilities and ranges. The defaults change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
                self.colour,
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
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    grey: bool = False
    blur_sigma: float | None = None
    noise_std: float | None = None
    noise_seed: int = 0
    holes: tuple[tuple[int, int, int, int], ...] = ()
    """Top, left, height, width in pixels."""

    @property
    def warps(self) -> bool:
        return (self.rotate, self.scale, self.shift, self.shear) != (0.0, 1.0, (0.0, 0.0), 0.0)


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
    return AugmentParameters.model_construct(**drawn)


def apply(
    image: Pixels | NDArray[np.float32], mask: NDArray[np.uint8], parameters: AugmentParameters
) -> tuple[Any, NDArray[np.uint8]]:
    """Image H×W×C (uint8, or float32 in [0, 1]; C = 1 or 3, RGB) and mask H×W → the augmented pair, of the same types and shapes.

    Inputs are not changed; what no parameter touches is returned as it is.
    """
    if parameters.warps:
        matrix = warp_matrix(parameters, *mask.shape)
        border = cv2.BORDER_REFLECT_101 if parameters.border == "reflect" else cv2.BORDER_CONSTANT
        size = (mask.shape[0], mask.shape[1])
        image = warp(image, matrix, size, cv2.INTER_LINEAR, border)
        mask = warp(mask, matrix, size, cv2.INTER_NEAREST, border)
    else:
        image, mask = flip(image, mask, parameters)
    return photometric(image, parameters), mask


def photometric(image: Any, parameters: AugmentParameters) -> Any:
    """The part of `apply` that moves nothing: colour, blur, noise, rectangles."""
    image = _colour(image, parameters)
    if parameters.blur_sigma is not None:
        image = _shaped(cv2.GaussianBlur(image, (0, 0), parameters.blur_sigma), image)
    if parameters.noise_std is not None:
        image = _noisy(image, parameters.noise_std, parameters.noise_seed)
    if parameters.holes:
        image = image.copy()
        for top, left, height, width in parameters.holes:
            image[top : top + height, left : left + width] = 0
    return image


def flip(image: Any, mask: NDArray[np.uint8], parameters: AugmentParameters) -> tuple[Any, NDArray[np.uint8]]:
    """The flips alone; the pair itself where there is none."""
    if not (parameters.flip_horizontal or parameters.flip_vertical):
        return image, mask
    both = parameters.flip_horizontal and parameters.flip_vertical
    code = -1 if both else int(parameters.flip_horizontal)
    return _shaped(cv2.flip(image, code), image), cv2.flip(mask, code).astype(np.uint8, copy=False)


def warp(
    pixels: Any,
    matrix: NDArray[np.float64],
    size: tuple[int, int],
    interpolation: int,
    border: int,
    outside: int = 0,
) -> Any:
    """H×W(×C) → height × width(×C) of `size` under a 2×3 `matrix` (source to result, x and y); `outside` fills a constant border.

    Colour takes a detour over four channels: OpenCV's kernel for four is twice as fast as that for three, with equal results.
    The copy (or conversion) reads a memory map in order, so that the warp's slanted reads meet the processor's cache.
    """
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    source = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA) if colour else pixels.copy()
    result = cv2.warpAffine(source, matrix, size[::-1], flags=interpolation, borderMode=border, borderValue=outside)
    return cv2.cvtColor(result, cv2.COLOR_RGBA2RGB) if colour else result.reshape(*size, *pixels.shape[2:])


def warp_matrix(parameters: AugmentParameters, height: int, width: int) -> NDArray[np.float64]:
    """2×3 matrix from source to result pixels (x, y): flip, shear, scale and rotate about the centre, then shift."""
    angle, shear = math.radians(parameters.rotate), math.tan(math.radians(parameters.shear))
    cos, sin = math.cos(angle) * parameters.scale, math.sin(angle) * parameters.scale
    turn = np.array([[cos, sin], [-sin, cos]])
    skew = np.array([[1.0, shear], [0.0, 1.0]])
    flip = np.diag([-1.0 if parameters.flip_horizontal else 1.0, -1.0 if parameters.flip_vertical else 1.0])
    linear = turn @ skew @ flip
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    moved = centre + np.array([parameters.shift[1] * width, parameters.shift[0] * height])
    return np.column_stack([linear, moved - linear @ centre])


def colour_matrix(parameters: AugmentParameters) -> NDArray[np.float64]:
    """3×4 matrix of RGB space in [0, 1]: hue turns the chroma plane about the grey axis, saturation stretches it about the luma,
    contrast stretches everything about mid-grey, brightness adds."""
    to_luma = np.tile(_LUMA, (3, 1))
    saturation = 0.0 if parameters.grey else parameters.saturation
    linear = to_luma + saturation * (_hue_rotation(parameters.hue) - to_luma)
    linear = parameters.contrast * linear
    offset = 0.5 * (1 - parameters.contrast) + parameters.brightness
    return np.column_stack([linear, np.full(3, offset)])


def _hue_rotation(turns: float) -> NDArray[np.float64]:
    """Rotation about the grey axis (Rodrigues), sheared so that luma is kept: L·R(v) = L·v."""
    angle, third = 2 * math.pi * turns, 1 / 3
    cos, sin = math.cos(angle), math.sin(angle) * math.sqrt(third)
    same, left, right = cos + (1 - cos) * third, (1 - cos) * third - sin, (1 - cos) * third + sin
    rotation = np.array([[same, left, right], [right, same, left], [left, right, same]])
    return rotation + np.outer(np.ones(3), _LUMA - _LUMA @ rotation)


def _colour(image: Any, parameters: AugmentParameters) -> Any:
    chroma = image.shape[2] == 3 and (parameters.saturation != 1 or parameters.hue != 0 or parameters.grey)
    if not chroma and parameters.brightness == 0 and parameters.contrast == 1:
        return image
    full = 255.0 if image.dtype == np.uint8 else 1.0
    matrix = colour_matrix(parameters)
    if not chroma:
        offset = matrix[0, 3] * full
        if image.dtype == np.uint8:
            table = np.clip(np.round(np.arange(256) * parameters.contrast + offset), 0, 255).astype(np.uint8)
            return _shaped(cv2.LUT(image, table), image)
        return np.clip(image * np.float32(parameters.contrast) + np.float32(offset), 0, 1)
    matrix[:, 3] *= full
    result = cv2.transform(image, matrix.astype(np.float32))
    return result if image.dtype == np.uint8 else np.clip(result, 0, 1)


def _noisy(image: Any, std: float, seed: int) -> Any:
    full = 255.0 if image.dtype == np.uint8 else 1.0
    noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(image.shape, np.float32)
    noise *= np.float32(std * full)
    noise += image
    np.clip(noise, 0, full, out=noise)
    return np.rint(noise, out=noise).astype(np.uint8) if image.dtype == np.uint8 else noise


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


def _shaped(result: Any, like: Any) -> Any:
    """OpenCV drops a single channel's axis."""
    return result.reshape(like.shape)
