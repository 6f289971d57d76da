"""The strong view: color jitter, gray and blur. Pixels stay in place, so a mask or a teacher's map of the image fits the view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.luminance import luminance
from delineate.nn.views.random_draws import RandomDraws, constant

__all__ = ["BlurAxes", "StrongView"]

BlurAxes = Literal["both", "vertical"]

_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclass(frozen=True)
class StrongView:
    """Color jitter (brightness, contrast, saturation, hue, in this order), gray, Gaussian blur.

    Images without three channels have no color: they get brightness, contrast and blur. Tensors are B×1×1×1, or 1×1×1×1 where all
    images share one view.

    Example:
        >>> from delineate.nn.views.strong import StrongView
        >>> image = torch.rand(2, 3, 32, 32)
        >>> view = StrongView.draw(image, torch.Generator().manual_seed(0))
        >>> view.image(image).shape
        torch.Size([2, 3, 32, 32])
    """

    brightness: Tensor
    """Factor on the image."""
    contrast: Tensor
    """Factor on the distance from the image's mean brightness."""
    saturation: Tensor
    """Factor on the distance from the gray image."""
    hue: Tensor
    """Angle in radians."""
    gray: Tensor
    """Bool: without color."""
    sigma: Tensor
    """Standard deviation of the blur, in pixels."""
    side: Tensor
    """Side of the blur's kernel, in pixels (odd; 1 = no blur)."""
    longest_side: int
    """Largest value that `side` may have. A number, since reading it from `side` would wait for the GPU."""
    blur: BlurAxes = "both"
    """Axes along which the blur's kernel has `side` pixels; along the other it has one."""

    @classmethod
    def draw(
        cls,
        image: Tensor,
        generator: torch.Generator,
        *,
        jitter: float = 0.3,
        hue: float = 0.1,
        gray: float = 0.5,
        sigma: tuple[float, float] = (0.1, 3.0),
        sides: Sequence[int] = (1, 3, 5, 7),
        blur: BlurAxes = "both",
        per: Literal["image", "batch"] = "image",
        jitter_probability: float = 1.0,
    ) -> Self:
        """Draw a view for each image. The defaults are ConDSeg's.

        Args:
            image: B×C×H×W; only its length and its device are used.
            generator: On the image's device. All random numbers come from it, the same number of them whatever
                the options but `per`, and one more where `jitter_probability` is below 1.
            jitter: Brightness, contrast and saturation change by a factor of 1 ± this.
            hue: Largest change of hue to either side, in turns of the color circle (1 = all the way around).
            gray: Probability of an image without color.
            sigma: Smallest and largest standard deviation of the blur, in pixels.
            sides: The side of the blur's kernel is one of these; odd numbers of pixels.
            blur: "vertical": the kernel is that long downwards and one pixel wide.
            per: "batch": one view for all images.
            jitter_probability: Of an image to get another brightness, contrast, saturation and hue at all.

        Returns:
            The view, whose random numbers are drawn.
        """
        draws = RandomDraws(image if per == "image" else image[:1], generator)
        low, high = 1 - jitter, 1 + jitter
        view = cls(
            brightness=draws.uniform(low, high),
            contrast=draws.uniform(low, high),
            saturation=draws.uniform(low, high),
            hue=2 * math.pi * draws.uniform(-hue, hue),
            gray=draws.bernoulli(gray),
            sigma=draws.uniform(*sigma),
            side=draws.choice(sides),
            longest_side=max(sides),
            blur=blur,
        )
        return view if jitter_probability == 1 else view._jittered_where(draws.bernoulli(jitter_probability))

    @classmethod
    def draw_light(cls, image: Tensor, generator: torch.Generator, *, brightness: float, hue: float) -> Self:
        """Draw a view of another brightness and hue alone.

        Args:
            image: B×C×H×W; only its length and its device are used.
            generator: On the image's device. All random numbers come from it.
            brightness: It changes by a factor of 1 ± this.
            hue: Largest change to either side, in turns of the color circle.

        Returns:
            The view, drawn.
        """
        view = cls.draw(image, generator, jitter=brightness, hue=hue, gray=0, sides=(1,))
        same = torch.ones_like(view.brightness)
        return replace(view, contrast=same, saturation=same)

    def _jittered_where(self, chosen: Tensor) -> Self:
        """The view without another color where `chosen` is false."""

        def or_one(factor: Tensor) -> Tensor:
            return torch.where(chosen, factor, 1.0)

        return replace(
            self,
            brightness=or_one(self.brightness),
            contrast=or_one(self.contrast),
            saturation=or_one(self.saturation),
            hue=self.hue * chosen,
        )

    def image(self, image: Tensor) -> Tensor:
        """The view of the images that it was drawn for.

        Args:
            image: B×C×H×W in [0, 1].

        Returns:
            The same shape and range.
        """
        image = (image * self.brightness).clamp(0, 1)
        image = _blend(image, luminance(image).mean((2, 3), keepdim=True), self.contrast)
        if image.shape[1] == 3:
            image = _blend(image, luminance(image), self.saturation)
            image = torch.where(self.gray, luminance(image), _rotate_hue(image, self.hue))
        return _blur(image, self.sigma, self.side, self.longest_side, self.blur)


def _blend(image: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """`other` at factor 0, `image` at 1; beyond 1 away from `other`."""
    return torch.lerp(other.expand_as(image), image, factor).clamp(0, 1)


def _rotate_hue(image: Tensor, angle: Tensor) -> Tensor:
    """Rotation of the chroma plane in YIQ, which leaves brightness alone and is smooth everywhere."""
    to_yiq = constant(_TO_YIQ, image.device, image.dtype)
    angle = angle.flatten()
    rotation = torch.eye(3, device=image.device, dtype=image.dtype).repeat(len(image), 1, 1)
    rotation[:, 1, 1], rotation[:, 2, 2] = angle.cos(), angle.cos()
    rotation[:, 1, 2], rotation[:, 2, 1] = -angle.sin(), angle.sin()
    from_yiq = torch.linalg.inv_ex(
        to_yiq
    ).inverse  # `inv` would wait for the GPU, to check that the matrix was invertible
    matrix = from_yiq @ rotation @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, image).clamp(0, 1)


def _blur(image: Tensor, sigma: Tensor, side: Tensor, longest_side: int, axes: BlurAxes) -> Tensor:
    """Gaussian blur, each image with its own sigma and kernel side; separable, borders reflected.

    All images go through one grouped convolution, so the kernels are padded with zeros to the longest side.
    """
    radius = min(longest_side // 2, min(image.shape[-2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype).view(1, -1)
    kernel = torch.exp(-0.5 * (offsets / sigma.flatten(1)) ** 2) * (offsets.abs() <= side.flatten(1) // 2)
    batch, channels, height, width = image.shape
    kernel = (kernel / kernel.sum(1, keepdim=True)).expand(batch, -1).repeat_interleave(channels, 0)
    beside = radius if axes == "both" else 0
    flat = F.pad(image.reshape(1, -1, height, width), (beside, beside, radius, radius), mode="reflect")
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=batch * channels)
    if axes == "both":
        flat = F.conv2d(flat, kernel[:, None, None, :], groups=batch * channels)
    return flat.view_as(image)
