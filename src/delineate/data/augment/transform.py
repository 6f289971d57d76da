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

__all__ = [
    "CHANCE",
    "ColorTransform",
    "GeometricTransform",
    "PixelTransform",
    "Positive",
    "Probability",
    "Range",
    "Size",
    "Transform",
    "TransformSettings",
    "ordered",
]

Size = tuple[int, int]
"""Height and width in pixels."""

CHANCE = "chance"
"""Marks the settings that are probabilities."""
Probability = Annotated[float, Field(ge=0, le=1), CHANCE]
"""A setting from 0 to 1: how often a transform is applied."""


def ordered(limits: tuple[float, float]) -> tuple[float, float]:
    """Check the order of two limits.

    Args:
        limits: Lower and upper limit.

    Returns:
        The limits themselves.

    Raises:
        ValueError: The lower limit does not come first.

    Example:
        >>> from delineate.data.augment.transform import ordered
        >>> ordered((0.5, 1.5))
        (0.5, 1.5)
    """
    if limits[0] > limits[1]:
        raise ValueError("the lower limit comes first")
    return limits


Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(ordered)]


class Transform(BaseModel):
    """What was drawn for one sample: a few numbers, and how they are applied. It can be saved as JSON and read back.

    Derive from `GeometricTransform`, `ColorTransform` or `PixelTransform`, not from this class.

    Example:
        >>> from delineate.data.augment.flips import Flip
        >>> Flip(horizontal=True).model_dump_json()
        '{"name":"flip","horizontal":true,"vertical":false}'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The name in logs, by which the class is found again: a `Literal` with itself as default."""


class TransformSettings(BaseModel):
    """The keys of one augmentation in the recipe's `augment` section. With their defaults, nothing is changed.

    Example:
        >>> from delineate.data.augment.flips import FlipSettings
        >>> settings = FlipSettings(flip_horizontal=1.0)
        >>> settings.draw(np.random.default_rng(0), (32, 32))
        Flip(name='flip', horizontal=True, vertical=False)
        >>> FlipSettings().draw(np.random.default_rng(0), (32, 32)) is None
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    transform: ClassVar[type[Transform]]
    """The class that `draw` returns."""
    generation: ClassVar[int] = 0
    """Settings draw in the order of their generations, and within one generation in the order of application. A new augmentation
    takes a generation above all others and draws no number at probability 0. Older recipes then keep their random numbers."""
    takes_zoom: ClassVar[bool] = False
    """Whether `draw` has a third argument `zoom`: pixels of the network's input per pixel of the image's file, along height and
    width. For what is stated in pixels of the file."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        """Draw a transform for one image.

        Args:
            rng: The only source of random numbers.
            size: Height and width of the image in pixels.

        Returns:
            A transform, or None if the image stays as it is.
        """
        raise NotImplementedError


class GeometricTransform(Transform):
    """Moves the pixels of image and mask.

    All geometric transforms of a sample are combined, and the image is interpolated once (`geometry`). So a class of this kind
    returns its matrix and its displacement field instead of moving pixels. Only an `exact` one moves them itself.

    Example:
        >>> from delineate.data.augment.flips import Flip
        >>> Flip(horizontal=True).moved(np.array([[1, 2, 3]], np.uint8))
        array([[3, 2, 1]], dtype=uint8)
        >>> Flip(horizontal=True).linear()
        array([[-1.,  0.],
               [ 0.,  1.]])
    """

    @property
    def exact(self) -> bool:
        """Whether pixels move to places of pixels. If this holds for all transforms of a sample, `moved` is used, without
        interpolation."""
        return False

    def moved(self, pixels: Any) -> Any:
        """Move whole pixels. Only called if `exact`.

        Args:
            pixels: An image H×W×C or a mask H×W.

        Returns:
            The same shape and type.
        """
        raise NotImplementedError

    def linear(self) -> NDArray[np.float64]:
        """The linear part.

        Returns:
            2×2 matrix from source to result (x, y), about the image's center.
        """
        return np.eye(2)

    def offset(self) -> tuple[float, float]:
        """The shift after the linear part.

        Returns:
            Down and right, as fractions of height and width.
        """
        return (0.0, 0.0)

    def field(self, size: Size) -> NDArray[np.float32] | None:
        """The displacement field.

        Args:
            size: Height and width in pixels.

        Returns:
            2×H×W displacements of the result's pixels along x and y, in pixels; None if there are none.
        """
        return None

    @property
    def max_displacement(self) -> float:
        """An upper limit of the displacements in `field`, in pixels. Patches read so many more pixels of their image."""
        return 0.0


class ColorTransform(Transform):
    """Changes colors by an affine map of RGB. All color transforms of a sample become one map (`color_map`).

    Example:
        >>> from delineate.data.augment.color import Color
        >>> from delineate.data.augment.color_map import ColorMap
        >>> Color(brightness=0.1).join(ColorMap()).brightness
        0.1
    """

    def join(self, below: ColorMap) -> ColorMap:
        """Combine with the color transforms before this one.

        Args:
            below: The map of the transforms before this one.

        Returns:
            The map of all of them.
        """
        raise NotImplementedError

    def without_mixing(self) -> ColorTransform | None:
        """The part that mixes no channels, for images whose channels are no colors.

        Returns:
            The transform without mixing; None if nothing is left.
        """
        return self


class PixelTransform(Transform):
    """Changes the image but not the mask, without moving pixels. Costs a pass over the image.

    Example:
        >>> from delineate.data.augment.gamma import Gamma
        >>> Gamma(power=2.0).apply(np.full((1, 1, 3), 0.5, np.float32))
        array([[[0.25, 0.25, 0.25]]], dtype=float32)
    """

    def apply(self, image: Any) -> Any:
        """Apply to one image. The input is not changed.

        Args:
            image: H×W×C, uint8 or float32 in [0, 1].

        Returns:
            The same shape and type.
        """
        raise NotImplementedError
