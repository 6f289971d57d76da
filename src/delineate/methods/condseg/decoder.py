"""The Size-Aware Decoder: three decoders for small, middle and large structures, and the layers that merge them into the mask."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import ChannelAttention, ConvBNAct, SpatialAttention, size_of
from delineate.nn.joined_conv import convolve_joined

__all__ = ["SizeAwareDecoder", "SizeDecoder"]


class SizeDecoder(nn.Module):
    """(deep B×width×h×w, shallow B×width×H×W) → B×width×H×W.

    The first convolution is 1×1 over concat(up-sampled deep, shallow).
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
        a = convolve_joined(self.c1, (deep, shallow), size_of(shallow))
        b = F.relu_(self.c2(a).add_(a))
        c = F.relu_(self.c3(b).add_(b).add_(a))
        d = F.relu_(self.c4(c).add_(c).add_(b).add_(a))
        return self.gate(self.channels(d))


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
        scales = self.small(second, first), self.middle(third, second), self.large(fourth, third)
        wide, narrow = self.refine
        assert isinstance(wide, ConvBNAct)
        return self.logits(narrow(convolve_joined(wide, (convolve_joined(self.fuse, scales),), size)))
