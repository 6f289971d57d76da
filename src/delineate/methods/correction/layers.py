"""Decoders for segmentation and inpainting, and the gated fusion of feature maps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from delineate.nn.blocks import ConvBNAct, resize

__all__ = ["Decoder", "DecoderBlock", "GatedFusion", "SumFusion"]


class DecoderBlock(nn.Module):
    """Two 3×3 convolutions with a quarter of the channels between, then twice the resolution: B×in×h×w → B×out×2h×2w.

    Bilinear, or a 3×3 transposed convolution with BatchNorm and ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, *, transposed: bool) -> None:
        super().__init__()
        hidden = max(1, in_channels // 4)
        self.conv1 = ConvBNAct(in_channels, hidden)
        self.conv2 = ConvBNAct(hidden, out_channels)
        self.up = (
            nn.Sequential(
                nn.ConvTranspose2d(out_channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            )
            if transposed
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x))
        return resize(x, (2 * x.shape[-2], 2 * x.shape[-1])) if self.up is None else self.up(x)


class Decoder(nn.Module):
    """One block per doubling, from the coarsest map to full size; each but the first also reads the encoder's map of its size.

    Args:
        channels: Reduction → channels of the map there. A block is as wide as the map that it reads; one without a map as the
            narrowest of all.
        out_channels: Of what is made.
        transposed: How blocks double the resolution (`DecoderBlock`).
        sides: Make it at each lower resolution too, but the coarsest map's.
    """

    def __init__(self, channels: Mapping[int, int], out_channels: int, *, transposed: bool, sides: bool) -> None:
        super().__init__()
        coarsest, narrowest = max(channels), min(channels.values())
        self.reductions = [2**level for level in reversed(range(1, coarsest.bit_length()))]
        wide, blocks, heads = 0, [], []
        for reduction in self.reductions:
            width = channels.get(reduction, narrowest)
            blocks.append(DecoderBlock(wide + channels.get(reduction, 0), width, transposed=transposed))
            if sides and reduction > 2:
                heads.append(nn.Conv2d(width, out_channels, 1))
            wide = width
        self.blocks, self.side_heads = nn.ModuleList(blocks), nn.ModuleList(heads)
        self.head = nn.Conv2d(wide, out_channels, 3, padding=1)

    def forward(self, maps: Mapping[int, Tensor]) -> list[Tensor]:
        """Decode feature maps.

        Args:
            maps: Reduction → feature map.

        Returns:
            B×out×H×W, then, where there are sides, the same at ½, ¼ … of the size.
        """
        x, made = None, []
        for at, (reduction, block) in enumerate(zip(self.reductions, self.blocks, strict=True)):
            parts = [part for part in (x, maps.get(reduction)) if part is not None]
            x = block(torch.cat(parts, 1))
            if at < len(self.side_heads):
                made.append(self.side_heads[at](x))
        return [self.head(x), *reversed(made)]


class GatedFusion(nn.Module):
    """Maps of the image take up what they lack from those of the erased image: B×C×h×w twice → B×C×h×w.

    With gates r and s, both σ of a 3×3 convolution of [x, e]: o = ReLU(conv([x, r·e])), result (1 − s)·x + s·o.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reset, self.select, self.candidate = (nn.Conv2d(2 * channels, channels, 3, padding=1) for _ in range(3))
        for conv in (self.reset, self.select, self.candidate):
            nn.init.orthogonal_(conv.weight)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, erased: Tensor) -> Tensor:
        both = torch.cat((x, erased), 1)
        reset, select = torch.sigmoid(self.reset(both)), torch.sigmoid(self.select(both))
        candidate = torch.relu(self.candidate(torch.cat((x, reset * erased), 1)))
        # Not `lerp`, which refuses maps of two precisions.
        return (1 - select) * x + select * candidate


class SumFusion(nn.Module):
    """Their sum, without any gate."""

    def forward(self, x: Tensor, erased: Tensor) -> Tensor:
        return x + erased
