"""Stage I, Consistency Reinforcement: the head on the bare encoder, and the strong view of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import ConvBNAct, resize

JITTER = 0.3
"""Brightness, contrast and saturation change by a factor of 1 ± this."""
HUE = 0.1
"""Turns of the colour circle, to either side."""
GREY = 0.5
"""Probability of an image without colour."""
SIGMA = (0.1, 3.0)
KERNELS = (1, 3, 5, 7)
"""Side of the blur's kernel in pixels."""
_LUMA = (0.299, 0.587, 0.114)
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


class ReinforcementHead(nn.Module):
    """Encoder maps → logits B×classes at the image's size.

    In the paper each map is up-sampled to full size, reduced by a 1×1 convolution, BatchNorm and ReLU, and all are
    concatenated for a last 1×1 convolution. The first convolution commutes with interpolation and the last is a sum over
    levels; done in that order, full-size maps have `width` channels instead of up to 1024. The numbers are the same.
    """

    def __init__(self, channels: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(ConvBNAct(count, width, 1) for count in channels)
        self.fuse = nn.Conv2d(len(channels) * width, classes, 1, bias=False)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        weights = self.fuse.weight.chunk(len(maps), 1)
        parts = [self._level(block, x, size, w) for block, x, w in zip(self.reduce, maps, weights, strict=True)]
        return torch.stack(parts).sum(0)

    @staticmethod
    def _level(block: nn.Module, x: Tensor, size: tuple[int, int], weight: Tensor) -> Tensor:
        full = resize(block.get_submodule("conv")(x), size, align_corners=True)
        return F.conv2d(block.get_submodule("act")(block.get_submodule("norm")(full)), weight)


def strong_view(image: Tensor, generator: torch.Generator, *, alike: bool = False) -> Tensor:
    """Photometric augmentation: B×C×H×W in [0, 1] → the same. Geometry stays aligned.

    Colour jitter (brightness, contrast, saturation, hue, in this order), grey with probability ½, Gaussian blur. Images
    without three channels have no colour: they get brightness, contrast and blur. Another draw for each image, or one for
    all (`alike`, so that an image's view does not depend on its neighbours).
    """
    draw = _Draw(image, generator, alike=alike)
    image = (image * draw.around_one()).clamp(0, 1)
    image = _blend(image, _grey(image).mean((2, 3), keepdim=True), draw.around_one())
    saturation, angle = draw.around_one(), 2 * math.pi * draw.between(-HUE, HUE)
    without_colour = draw.between(0, 1) < GREY
    if image.shape[1] == 3:
        image = _blend(image, _grey(image), saturation)
        image = torch.where(without_colour, _grey(image), _turn_hue(image, angle))
    return _blur(image, draw.between(*SIGMA), draw.choice(KERNELS))


class _Draw:
    """One random number per image, B×1×1×1."""

    def __init__(self, image: Tensor, generator: torch.Generator, *, alike: bool) -> None:
        self.image, self.generator = image, generator
        self.count = 1 if alike else len(image)

    def between(self, low: float, high: float) -> Tensor:
        drawn = torch.rand(self.count, 1, 1, 1, generator=self.generator, device=self.image.device)
        return (low + (high - low) * drawn).expand(len(self.image), 1, 1, 1)

    def around_one(self) -> Tensor:
        return self.between(1 - JITTER, 1 + JITTER)

    def choice(self, values: Sequence[int]) -> Tensor:
        table = torch.tensor(values, device=self.image.device)
        return table[self.between(0, len(values)).long().clamp_max(len(values) - 1)]


def _grey(image: Tensor) -> Tensor:
    if image.shape[1] != 3:
        return image.mean(1, keepdim=True)
    return (image * image.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _blend(image: Tensor, towards: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(towards.expand_as(image), image, factor).clamp(0, 1)


def _turn_hue(image: Tensor, angle: Tensor) -> Tensor:
    """Rotation of the chroma plane in YIQ, which leaves brightness alone and is smooth everywhere."""
    to_yiq = image.new_tensor(_TO_YIQ)
    angle = angle.flatten()
    turn = torch.eye(3, device=image.device, dtype=image.dtype).repeat(len(image), 1, 1)
    turn[:, 1, 1], turn[:, 2, 2] = angle.cos(), angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, image).clamp(0, 1)


def _blur(image: Tensor, sigma: Tensor, side: Tensor) -> Tensor:
    """Gaussian blur, each image with its own sigma and kernel side; separable, borders reflected."""
    reach = min(max(KERNELS) // 2, min(image.shape[-2:]) - 1)
    offsets = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype).view(1, -1)
    taps = torch.exp(-0.5 * (offsets / sigma.flatten(1)) ** 2) * (offsets.abs() <= side.flatten(1) // 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(image.shape[1], 0)
    batch, channels, height, width = image.shape
    flat = F.pad(image.reshape(1, -1, height, width), (reach,) * 4, mode="reflect")
    flat = F.conv2d(flat, taps[:, None, :, None], groups=batch * channels)
    flat = F.conv2d(flat, taps[:, None, None, :], groups=batch * channels)
    return flat.view_as(image)
