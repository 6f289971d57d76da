"""The decoder's level: twice the resolution, the skip connection, two plain convolutions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from delineate.nn.blocks import ConvBNAct, UpSample

__all__ = ["DecoderBlock", "Merge", "Up"]

Up = Literal["bilinear", "transposed"]
Merge = Literal["concat", "add"]


class DecoderBlock(nn.Module):
    """(B×in×h×w, skip B×out×2h×2w) → B×out×2h×2w.

    `up`: `bilinear` doubling and a 3×3 convolution, or a `transposed` convolution 2×2 with stride 2.
    """

    def __init__(self, in_channels: int, out_channels: int, *, up: Up, merge: Merge) -> None:
        super().__init__()
        self.merge = merge
        self.up = (
            nn.Sequential(UpSample(2), ConvBNAct(in_channels, out_channels))
            if up == "bilinear"
            else nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        )
        joined = 2 * out_channels if merge == "concat" else out_channels
        self.convs = nn.Sequential(ConvBNAct(joined, out_channels), ConvBNAct(out_channels, out_channels))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)
        return self.convs(torch.cat((x, skip), 1) if self.merge == "concat" else x + skip)
