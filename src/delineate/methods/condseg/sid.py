"""Semantic Information Decoupling (SID): the deepest level is split into foreground, background and uncertainty.

`branch` makes one of the three features, `AuxiliaryHead` predicts a full-size map from one during training, and
`Preparation` upsamples one to the resolution of a level, where it guides the aggregation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from delineate.nn.blocks import ConvBNAct, resize
from delineate.nn.joined_conv import convolve_joined

__all__ = ["AuxiliaryHead", "Preparation", "Size", "branch"]

Size = tuple[int, int]


def branch(in_channels: int, width: int) -> nn.Sequential:
    """One semantic branch: B×in×h×w → B×width×h×w."""
    hidden = in_channels // 2
    return nn.Sequential(ConvBNAct(in_channels, hidden, 3), ConvBNAct(hidden, width, 3), ConvBNAct(width, width, 1))


class AuxiliaryHead(nn.Module):
    """A branch's feature → one logit per pixel of the image: B×width×h×w → B×1×H×W.

    As many doublings as lie between the deepest level and the image: four for an encoder that starts at 1/2 (the paper's
    ResNet-50 network), five for one that starts at 1/4 (its PVTv2 network, which doubles before its last five
    convolutions).
    """

    def __init__(self, width: int, doublings: int) -> None:
        super().__init__()
        half, quarter = max(1, width // 2), max(1, width // 4)
        if doublings == 4:
            channels, self.flat = [width, 2 * width, 2 * width, width, half, half], 1
        else:
            channels, self.flat = [width, width, width, width, *[half] * (doublings - 3), quarter], 2
        self.convs = nn.ModuleList(ConvBNAct(before, after, 3) for before, after in pairwise(channels))
        self.logit = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, x: Tensor, sizes: Sequence[Size]) -> Tensor:
        """`sizes`: height and width after each doubling, the last being the image's."""
        for index, conv in enumerate(self.convs):
            step = index - self.flat
            x = conv(x if step < 0 else resize(x, sizes[step], align_corners=True))
        # A 1×1 convolution commutes with interpolation, so the last doubling (where one is left) follows it.
        return resize(self.logit(x), sizes[-1], align_corners=True)


class Preparation(nn.Module):
    """A branch's feature carried up to one level: B×width×h×w → B×width at the last of `sizes`."""

    def __init__(self, width: int, doublings: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvBNAct(width, width, 3) for _ in range(doublings + 1))

    def forward(self, x: Tensor, sizes: Sequence[Size]) -> Tensor:
        """`sizes`: height and width of the levels passed, one per doubling."""
        x = self.convs[0](x)
        for conv, size in zip(self.convs[1:], sizes, strict=True):
            assert isinstance(conv, ConvBNAct)
            x = convolve_joined(conv, (x,), size)
        return x
