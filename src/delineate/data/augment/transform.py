"""The base classes of augmentations: settings that draw random parameters, and a transform that applies them.

Each augmentation is one file with two classes. Its `TransformSettings` holds its keys of the recipe's `augment` section and draws
a transform. The transform is a `GeometricTransform`, a `ColorTransform` or a `PixelTransform`, depending on how it is applied.
`settings.AugmentSettings` is the list of all augmentations.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from delineate.data.augment.color_map import ColorMap

Size = tuple[int, int]
"""Height and width in pixels."""

CHANCE = "chance"
"""Marks the settings that are probabilities of doing something."""
Probability = Annotated[float, Field(ge=0, le=1), CHANCE]
"""A setting from 0 to 1: how often something is done."""


def ordered(limits: tuple[float, float]) -> tuple[float, float]:
    """The limits themselves; `ValueError` where the lower one does not come first."""
    if limits[0] > limits[1]:
        raise ValueError("the lower limit comes first")
    return limits


Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(ordered)]


class Transform(BaseModel):
    """What a part drew for one sample. Goes through JSON unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The augmentation's name, by which it is read from a log: a `Literal` with itself as default."""


class TransformSettings(BaseModel):
    """Some keys of the recipe's `augment` section. Their defaults change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    transform: ClassVar[type[Transform]]
    """The class of what is drawn."""
    generation: ClassVar[int] = 0
    """Parts draw in the order of their generations, and within one in that of their application. A new part takes a generation
    above all others, and draws no number where its probability is 0: then older recipes keep their random numbers."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        """The parameters for one image of `size`; None where nothing is to be done."""
        raise NotImplementedError


class GeometricTransform(Transform):
    """Moves pixels of image and mask. All geometry of a sample becomes one sampling of the picture (`geometry`), so a class of this
    kind moves nothing itself where pixels are interpolated: it tells how."""

    @property
    def exact(self) -> bool:
        """Whether pixels land on pixels. Where all that is drawn does so, it is done by `moved`, without sampling."""
        return False

    def moved(self, pixels: Any) -> Any:
        """H×W(×C), an image or a mask → the same shape and type; of exact ones only."""
        raise NotImplementedError

    def linear(self) -> NDArray[np.float64]:
        """2×2 matrix from source to result (x, y), about the image's center."""
        return np.eye(2)

    def offset(self) -> tuple[float, float]:
        """A shift down and right after it, as fractions of height and width."""
        return (0.0, 0.0)

    def field(self, size: Size) -> NDArray[np.float32] | None:
        """2×H×W displacements along x and y, in pixels, of the result's pixels; None where there are none."""
        return None

    @property
    def max_displacement(self) -> float:
        """No displacement of `field` is larger, in pixels."""
        return 0.0


class ColorTransform(Transform):
    """Changes colors by an affine map. All color changes of a sample become one map (`color_map`)."""

    def join(self, below: ColorMap) -> ColorMap:
        """The map of what was before it and of itself."""
        raise NotImplementedError

    def without_mixing(self) -> ColorTransform | None:
        """What is left of it where channels are no colors, and must not be mixed; None for nothing."""
        return self


class PixelTransform(Transform):
    """Changes the image alone, without moving its pixels, in a pass of its own."""

    def apply(self, image: Any) -> Any:
        """H×W×C (uint8, or float32 in [0, 1]) → the same shape and type. The input is not changed."""
        raise NotImplementedError
