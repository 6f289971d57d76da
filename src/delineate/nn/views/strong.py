"""The strong view: colors, gray and blur. Geometry stays, so a mask or a teacher's map of the image fits the view as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.views.draws import Draws, constant

_LUMA = (0.299, 0.587, 0.114)
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclass(frozen=True)
class StrongView:
    """Color jitter (brightness, contrast, saturation, hue, in this order), gray, Gaussian blur.

    Images without three channels have no color: they get brightness, contrast and blur. Every field but the last is B×1×1×1.

        view = StrongView.draw(image, ctx.generator)
        logits = self(view.image(image))
    """

    brightness: Tensor
    """Factors, like the two that follow."""
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    """Radians."""
    gray: Tensor
    """Bool: without color."""
    sigma: Tensor
    """Of the blur, in pixels."""
    side: Tensor
    """Of the blur's kernel, in pixels (odd; 1 = no blur)."""
    longest_side: int
    """What `side` may be at most: known without asking the device."""

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
    ) -> Self:
        """Draw a view for each image. The defaults are ConDSeg's.

        Args:
            image: B×C×H×W; only its length and its device are used.
            generator: on the image's device; all random numbers come from it, the same number of them whatever the options.
            jitter: brightness, contrast and saturation change by a factor of 1 ± this.
            hue: turns of the color circle, to either side.
            gray: probability of an image without color.
            sigma: least and greatest standard deviation of the blur in pixels.
            sides: what the side of the blur's kernel is drawn from; odd numbers of pixels.
        """
        draws = Draws(image, generator)
        low, high = 1 - jitter, 1 + jitter
        return cls(
            brightness=draws.between(low, high),
            contrast=draws.between(low, high),
            saturation=draws.between(low, high),
            hue=2 * math.pi * draws.between(-hue, hue),
            gray=draws.chance(gray),
            sigma=draws.between(*sigma),
            side=draws.choice(sides),
            longest_side=max(sides),
        )

    def image(self, image: Tensor) -> Tensor:
        """The view of the images it was drawn for: B×C×H×W in [0, 1] → the same."""
        image = (image * self.brightness).clamp(0, 1)
        image = _blend(image, _gray(image).mean((2, 3), keepdim=True), self.contrast)
        if image.shape[1] == 3:
            image = _blend(image, _gray(image), self.saturation)
            image = torch.where(self.gray, _gray(image), _turn_hue(image, self.hue))
        return _blur(image, self.sigma, self.side, self.longest_side)


def _gray(image: Tensor) -> Tensor:
    if image.shape[1] != 3:
        return image.mean(1, keepdim=True)
    luma = constant(_LUMA, image.device, image.dtype)
    return (image * luma.view(1, 3, 1, 1)).sum(1, keepdim=True)


def _blend(image: Tensor, towards: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(towards.expand_as(image), image, factor).clamp(0, 1)


def _turn_hue(image: Tensor, angle: Tensor) -> Tensor:
    """Rotation of the chroma plane in YIQ, which leaves brightness alone and is smooth everywhere."""
    to_yiq = constant(_TO_YIQ, image.device, image.dtype)
    angle = angle.flatten()
    turn = torch.eye(3, device=image.device, dtype=image.dtype).repeat(len(image), 1, 1)
    turn[:, 1, 1], turn[:, 2, 2] = angle.cos(), angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    from_yiq = torch.linalg.inv_ex(to_yiq).inverse  # `inv` would wait for the device, to ask whether it went well
    matrix = from_yiq @ turn @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, image).clamp(0, 1)


def _blur(image: Tensor, sigma: Tensor, side: Tensor, longest_side: int) -> Tensor:
    """Gaussian blur, each image with its own sigma and kernel side; separable, borders reflected."""
    reach = min(longest_side // 2, min(image.shape[-2:]) - 1)
    offsets = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype).view(1, -1)
    taps = torch.exp(-0.5 * (offsets / sigma.flatten(1)) ** 2) * (offsets.abs() <= side.flatten(1) // 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(image.shape[1], 0)
    batch, channels, height, width = image.shape
    flat = F.pad(image.reshape(1, -1, height, width), (reach,) * 4, mode="reflect")
    flat = F.conv2d(flat, taps[:, None, :, None], groups=batch * channels)
    flat = F.conv2d(flat, taps[:, None, None, :], groups=batch * channels)
    return flat.view_as(image)
