"""The dilated block, the first block after each level of the encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import ChannelAttention, ConvBNAct, SpatialAttention

__all__ = ["DILATIONS", "DilatedBlock"]

DILATIONS = (1, 6, 12, 18)
"""The first branch is a 1×1 convolution, the others 3×3 with these dilations."""


class DilatedBlock(nn.Module):
    """Four parallel receptive fields, merged, with a shortcut and attention gates: B×in×H×W → B×width×H×W."""

    def __init__(self, in_channels: int, width: int, gate_units: int = 1) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                ConvBNAct(in_channels, width, 1 if dilation == 1 else 3, dilation=dilation),
                ChannelAttention(width, min_hidden=gate_units),
            )
            for dilation in DILATIONS
        )
        self.merge = ConvBNAct(len(DILATIONS) * width, width, 3, act=False)
        self.shortcut = ConvBNAct(in_channels, width, 1, act=False)
        self.gate = SpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        merged = self.merge(torch.cat([branch(x) for branch in self.branches], 1))
        return self.gate(F.relu(merged + self.shortcut(x)))
