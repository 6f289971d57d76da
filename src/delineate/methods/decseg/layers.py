"""Parts of DEC-Seg: cross-level feature aggregation (CFA), scale-specific decoders, dual-scale complementary fusion (DCF)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from delineate.nn.batchnorm import PooledBatchNorm
from delineate.nn.blocks import ConvBNAct, resize_like

__all__ = ["FusionDecoder", "LevelAggregation", "ScaleDecoder", "ScaleFusion"]


class LevelAggregation(nn.Module):
    """CFA: a map joined with the next coarser one, then a channel gate x + x·σ(…).

    `forward(fine, coarse)`: B×fine×H×W and B×coarse×H/2×W/2 → B×width×H×W.
    """

    def __init__(self, fine: int, coarse: int, width: int) -> None:
        super().__init__()
        self.fine, self.coarse = ConvBNAct(fine, width // 2, 1), ConvBNAct(coarse, width // 2, 1)
        self.join = ConvBNAct(width, width)
        self.gate = nn.Sequential(
            nn.Conv2d(width, width // 4, 1, bias=False),
            PooledBatchNorm(width // 4),
            nn.ReLU(inplace=True),
            nn.Conv2d(width // 4, width, 1, bias=False),
            PooledBatchNorm(width),
        )
        self.refine = ConvBNAct(width, width)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        # The paper enlarges first. A 1×1 convolution gives the same before it, at a quarter of the cost.
        raised = resize_like(self.coarse.conv(coarse), fine, align_corners=True)
        raised = self.coarse.act(self.coarse.norm(raised))
        x = self.join(torch.cat((self.fine(fine), raised), 1))
        return self.refine(x + x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid())


class ScaleUpBlock(nn.Module):
    """To twice the resolution, joined with the skip, two convolutions: B×in×h×w, B×skip×2h×2w → B×width×2h×2w."""

    def __init__(self, in_channels: int, skip_channels: int, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, width, 2, stride=2)
        self.convs = nn.Sequential(ConvBNAct(width + skip_channels, width), ConvBNAct(width, width))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.convs(torch.cat((self.up(x), skip), 1))


class ScaleDecoder(nn.Module):
    """The decoder of one scale. `head` makes logits of its finest map; only training needs them.

    `forward(levels)`: the aggregated maps, finest first, and the encoder's coarsest → a map per level, coarsest first: that of
    the encoder, then this decoder's, each as wide as the encoder's.
    """

    def __init__(self, channels: Sequence[int], skip: int, classes: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ScaleUpBlock(wide, skip, width) for wide, width in pairwise(channels[::-1]))
        self.head: nn.Conv2d | None = nn.Conv2d(channels[0], classes, 3, padding=1)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        *skips, x = levels
        maps = [x]
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            maps.append(block(maps[-1], skip))
        return maps


class ScaleFusion(nn.Module):
    """DCF: maps of two scales, each with what the other is sure of, weighted by a softmax of both at every pixel.

    `forward(x, other)`: B×C×H×W and B×C×h×w → B×C×H×W.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = ConvBNAct(channels, channels), ConvBNAct(channels, channels)
        self.first_completed, self.second_completed = ConvBNAct(channels, channels), ConvBNAct(channels, channels)
        self.weights = ConvBNAct(2 * channels, 2, 1)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        a, b = self.first(x), self.second(resize_like(other, x))
        first, second = self.first_completed(a + b.sigmoid() * b), self.second_completed(b + a.sigmoid() * a)
        weights = self.weights(torch.cat((first, second), 1)).softmax(1)
        return first * weights[:, :1] + second * weights[:, 1:]


class FusionDecoder(nn.Module):
    """Fuses the maps of both decoders at each level, and decodes them: two lists as `ScaleDecoder` gives them → logits."""

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        widths = channels[::-1]
        self.fusions = nn.ModuleList(map(ScaleFusion, widths))
        self.coarsest = nn.Sequential(ConvBNAct(widths[0], widths[0]), ConvBNAct(widths[0], widths[0]))
        self.blocks = nn.ModuleList(ScaleUpBlock(wide, width, width) for wide, width in pairwise(widths))
        self.head = nn.Conv2d(widths[-1], classes, 3, padding=1)

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        coarsest, *finer = [fuse(a, b) for fuse, a, b in zip(self.fusions, first, second, strict=True)]
        x = self.coarsest(coarsest)
        for block, skip in zip(self.blocks, finer, strict=True):
            x = block(x, skip)
        return self.head(x)
