"""Deep encoding-decoding: what is done to the high level's features before peaks are taken from them.

All forms keep the shape B×C×h×w, add to what came in, and end in a linear layer, so that features keep their sign.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from delineate.nn.blocks import ConvBNAct, resize_like
from delineate.nn.cross_attention import CrossAttention

__all__ = ["DILATIONS", "HEADS", "DeepU", "DilatedPyramid", "EncodingKind", "TokenBlock", "TokenCodec", "encoding"]

EncodingKind = Literal["u", "pyramid", "transformer", "identity"]
HEADS = 4
DILATIONS = (1, 2, 4)


def encoding(kind: EncodingKind, channels: int, *, attention: bool = False) -> nn.Module:
    """The module of this name; `attention` is `u`'s alone."""
    if kind == "u":
        return DeepU(channels, attention=attention)
    if kind == "pyramid":
        return DilatedPyramid(channels)
    return TokenCodec(channels) if kind == "transformer" else nn.Identity()


class DeepU(nn.Module):
    """Two halvings, two doublings, skips by concatenation: h → h/2 → h/4 → h/2 → h.

    Each halving is two 3×3 convolutions with BatchNorm and ReLU, the first with stride 2. `attention`: one layer of self-attention
    at the coarsest grid, so that every pixel sees the whole image.
    """

    def __init__(self, channels: int, *, attention: bool = False) -> None:
        super().__init__()
        self.to_half, self.to_quarter = (
            nn.Sequential(ConvBNAct(channels, channels, stride=2), ConvBNAct(channels, channels)) for _ in range(2)
        )
        self.bottleneck = TokenBlock(channels) if attention else None
        self.up = ConvBNAct(2 * channels, channels)
        self.out = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        half = self.to_half(x)
        quarter = self.to_quarter(half)
        if self.bottleneck is not None:
            tokens = quarter.permute(0, 2, 3, 1)
            quarter = self.bottleneck(tokens, tokens).permute(0, 3, 1, 2)
        up = self.up(torch.cat((resize_like(quarter, half), half), 1))
        return x + self.out(torch.cat((resize_like(up, x), x), 1))


class DilatedPyramid(nn.Module):
    """Parallel 3×3 convolutions of dilation 1, 2 and 4 (Chen et al., DeepLab), joined by a 1×1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.branches = nn.ModuleList(ConvBNAct(channels, inner, dilation=dilation) for dilation in DILATIONS)
        self.out = nn.Conv2d(inner * len(DILATIONS), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(torch.cat([branch(x) for branch in self.branches], 1))


class TokenCodec(nn.Module):
    """A transformer of two layers: an encoder layer attends within the map, a decoder layer from the map to what that gave."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder, self.decoder = TokenBlock(channels), TokenBlock(channels)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.permute(0, 2, 3, 1)
        decoded = self.decoder(tokens, self.encoder(tokens, tokens))
        return x + self.out(decoded.permute(0, 3, 1, 2))


class TokenBlock(nn.Module):
    """Attention and feed-forward, each with LayerNorm before and a skip around: B×h×w×C twice → B×h×w×C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.context_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = CrossAttention(channels, heads=HEADS)
        self.project = nn.Linear(channels, channels)
        self.ffn = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        attended, _ = self.attention(self.norm(x), self.context_norm(context))
        x = x + self.project(attended)
        return x + self.ffn(x)
