"""The segmentation branch: an encoder and a decoder whose token mixers are MVM blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from delineate.methods.mfel.mamba import MultiBranchMamba
from delineate.methods.mfel.options import MFELOptions
from delineate.nn.blocks import ConvBNAct
from delineate.nn.upsample_block import UpsampleBlock

__all__ = ["SegmentationDecoder", "SegmentationEncoder", "stem_width"]


class SegmentationEncoder(nn.Module):
    """Convolutional stem to half the resolution; then per scale a 3×3 convolution with stride 2 and MVM blocks.

    B×C×H×W (multiples of 32) → the stem's map at 1/2 and the maps of the scales 1/4, 1/8, 1/16, 1/32.
    """

    def __init__(self, in_channels: int, options: MFELOptions) -> None:
        super().__init__()
        first = stem_width(options.widths)
        self.stem = nn.Sequential(ConvBNAct(in_channels, first, stride=2), ConvBNAct(first, first))
        self.levels = nn.ModuleList(
            nn.Sequential(ConvBNAct(before, width, stride=2), *_mixers(width, depth, options))
            for (before, width), depth in zip(pairwise((first, *options.widths)), options.depths, strict=True)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        stem = self.stem(image)
        maps: list[Tensor] = []
        for level in self.levels:
            maps.append(level(maps[-1] if maps else stem))
        return stem, maps


class SegmentationDecoder(nn.Module):
    """From the fused maps, finest first, and the stem's map to logits at 1/2 of the resolution: B×K×H/2×W/2."""

    def __init__(self, classes: int, options: MFELOptions) -> None:
        super().__init__()
        widths = options.widths
        self.levels = nn.ModuleList(UpsampleBlock(below, width, width) for width, below in pairwise(widths))
        self.mixers = nn.ModuleList(
            nn.Sequential(*_mixers(width, depth, options))
            for width, depth in zip(widths, options.decoder_depths, strict=False)
        )
        first = stem_width(widths)
        self.last = UpsampleBlock(widths[0], first, first)
        self.head = nn.Conv2d(first, classes, 1)

    def forward(self, stem: Tensor, fused: Sequence[Tensor]) -> Tensor:
        *finer, x = fused
        for level, mixer, skip in reversed(list(zip(self.levels, self.mixers, finer, strict=True))):
            x = mixer(level(x, skip))
        return self.head(self.last(x, stem))


def stem_width(widths: Sequence[int]) -> int:
    """Channels at 1/2 of the resolution: half of those at 1/4."""
    return max(1, widths[0] // 2)


def _mixers(width: int, depth: int, options: MFELOptions) -> list[nn.Module]:
    return [MultiBranchMamba(width, options.mvm) for _ in range(depth)]
