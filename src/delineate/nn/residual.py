"""Plain residual blocks with instance normalization and leaky ReLU.

He, Zhang, Ren, Sun: "Deep residual learning for image recognition", CVPR 2016; where a block changes the resolution its
shortcut is averaged before the 1×1 convolution (He T. et al.: "Bag of tricks", CVPR 2019), so that no pixel is skipped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ConvNormAct", "InstanceNorm", "ResidualBlock", "initialize"]

_SLOPE = 0.01
"""Of leaky ReLU below zero."""


class InstanceNorm(nn.GroupNorm):
    """Zero mean and unit variance per image and channel, then an affine map per channel: B×C×H×W → the same shape.

    Group normalization with one channel in each group is instance normalization. On a CPU it takes half the time of PyTorch's
    own. A map of a single pixel becomes the bias, where PyTorch's modules refuse to train on it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class ConvNormAct(nn.Sequential):
    """Conv k×k (no bias: the norm would subtract it; padding that keeps the size at stride 1) → instance norm → leaky ReLU
    (unless `act=False`). B×in×H×W → B×out×⌈H/stride⌉×⌈W/stride⌉."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1, act: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = InstanceNorm(out_channels)
        if act:
            self.act = nn.LeakyReLU(_SLOPE, inplace=True)


class ResidualBlock(nn.Module):
    """act(shortcut(x) + norm(conv(act(norm(conv(x)))))), the first convolution with `stride` 1 or 2.

    B×in×H×W → B×out×H/stride×W/stride; height and width must be multiples of the stride.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, out_channels, stride=stride)
        self.conv2 = ConvNormAct(out_channels, out_channels, act=False)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride))
        if in_channels != out_channels:
            self.shortcut.append(ConvNormAct(in_channels, out_channels, 1, act=False))
        self.act = nn.LeakyReLU(_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv2(self.conv1(x)) + self.shortcut(x))


def initialize(module: nn.Module) -> None:
    """Draw the weights of all convolutions for leaky ReLU (He et al., ICCV 2015); biases become 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, a=_SLOPE)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
