"""The Size-Aware Decoder: three decoders for small, middle and large structures, and the layers that merge them into the mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import ChannelAttention, ConvBNAct, SpatialAttention, resize, resize_like

__all__ = ["SizeAwareDecoder", "SizeDecoder"]


class SizeDecoder(nn.Module):
    """(deep B×width×h×w, shallow B×width×H×W) → B×width×H×W.

    The first convolution is 1×1 over concat(up-sampled deep, shallow). It commutes with interpolation, so its deep half
    is applied before up-sampling: the same numbers from a quarter of the arithmetic, and no concatenation.
    """

    def __init__(self, width: int, gate_units: int = 1) -> None:
        super().__init__()
        self.c1 = ConvBNAct(2 * width, width, 1)
        self.c2 = ConvBNAct(width, width, 3, act=False)
        self.c3 = ConvBNAct(width, width, 3, act=False)
        self.c4 = ConvBNAct(width, width, 1, act=False)
        self.channels = ChannelAttention(width, min_hidden=gate_units)
        self.gate = SpatialAttention()

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        a = self._join(deep, shallow)
        b = F.relu(self.c2(a) + a)
        c = F.relu(self.c3(b) + b + a)
        d = F.relu(self.c4(c) + c + b + a)
        return self.gate(self.channels(d))

    def _join(self, deep: Tensor, shallow: Tensor) -> Tensor:
        conv, half = self.c1.conv, deep.shape[1]
        below = resize_like(F.conv2d(deep, conv.weight[:, :half]), shallow, align_corners=True)
        return self.c1.act(self.c1.norm(F.conv2d(shallow, conv.weight[:, half:], conv.bias) + below))


class SizeAwareDecoder(nn.Module):
    """The four aggregated levels (highest resolution first, B×width) → mask logits B×classes at the image's size."""

    def __init__(self, width: int, classes: int, gate_units: int = 1) -> None:
        super().__init__()
        self.small, self.middle, self.large = (SizeDecoder(width, gate_units) for _ in range(3))
        self.fuse = ConvBNAct(3 * width, width, 3)
        self.refine = nn.Sequential(ConvBNAct(width, width, 3), ConvBNAct(width, width // 2, 1))
        self.logits = nn.Conv2d(width // 2, classes, 1)

    def forward(self, levels: list[Tensor], size: tuple[int, int]) -> Tensor:
        first, second, third, fourth = levels
        small, middle, large = self.small(second, first), self.middle(third, second), self.large(fourth, third)
        coarser = (resize_like(x, small, align_corners=True) for x in (middle, large))
        joined = self.fuse(torch.cat((small, *coarser), 1))
        return self.logits(self.refine(resize(joined, size, align_corners=True)))
