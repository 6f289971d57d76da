"""The exchange between the streams at one level: merging of low and high features, dual interactive fusion, global spatial
attention. The figure's panels (b), (c) and (d).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from delineate.methods.contract import PAPER, READING
from delineate.nn.cross_attention import CrossAttention
from delineate.nn.encoders.two_level import Level

__all__ = [
    "AttentionOptions",
    "Concatenation",
    "CrossAttentionBranch",
    "DualInteraction",
    "FeedForward",
    "FeedForwardKind",
    "Merge",
    "PerLevel",
    "Skip",
    "spatial_attention",
]

PerLevel = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
Skip = Literal["query", "input", "none"]
FeedForwardKind = Literal["plain", "residual"]


class AttentionOptions(BaseModel):
    """The exchange between the streams."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heads: PerLevel = Field(
        (1, 1, 1, 1), description="attention heads of each level, finest first", json_schema_extra=READING
    )
    reduction: PerLevel = Field(
        (1, 1, 1, 1), description="how much coarser keys and values are, for each level", json_schema_extra=READING
    )
    scaled: bool = Field(True, description="divide the products by √(width of a head)", json_schema_extra=READING)
    norm: bool = Field(True, description="LayerNorm before queries, keys and values", json_schema_extra=READING)
    skip: Skip = Field(
        "query",
        description="what is added to what was attended: the projected query (as drawn), the stream's own features, nothing",
        json_schema_extra=PAPER,
    )
    ffn: FeedForwardKind = Field(
        "plain",
        description="feed-forward as drawn, or with LayerNorm before it and a skip around it",
        json_schema_extra=PAPER,
    )
    ffn_ratio: float = Field(
        4.0, gt=0, description="hidden width of the feed-forward, in widths of the level", json_schema_extra=READING
    )


class Merge(nn.Module):
    """Panel (c): at every level one convolution of the low and the high map joined, to the width of the high one."""

    def __init__(self, low_channels: Sequence[int], channels: Sequence[int], kernel: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Conv2d(low + high, high, kernel, padding=kernel // 2)
            for low, high in zip(low_channels, channels, strict=True)
        )

    def forward(self, levels: Sequence[Level]) -> list[Tensor]:
        return [conv(torch.cat(level, 1)) for conv, level in zip(self.levels, levels, strict=True)]


class FeedForward(nn.Sequential):
    """Linear C → ratio·C, GELU, linear back; on channels-last maps."""

    def __init__(self, channels: int, ratio: float) -> None:
        hidden = max(1, round(channels * ratio))
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))


class CrossAttentionBranch(nn.Module):
    """One direction of panel (b): Y = attention of x to context + skip, Z = FFN(Y). Channels-last maps B×H×W×C."""

    def __init__(self, channels: int, options: AttentionOptions, level: int) -> None:
        super().__init__()
        self.options = options
        self.attention = CrossAttention(
            channels, heads=options.heads[level], reduction=options.reduction[level], scaled=options.scaled
        )
        if options.ffn == "residual":
            self.norm = nn.LayerNorm(channels)
        self.ffn = FeedForward(channels, options.ffn_ratio)

    def forward(self, own: Tensor, x: Tensor, context: Tensor) -> Tensor:
        """`own`: the stream's features; `x`, `context`: both streams' features, normalized where that is chosen."""
        y, queries = self.attention(x, context)
        if self.options.skip != "none":
            y = y + (queries if self.options.skip == "query" else own)
        if self.options.ffn == "residual":
            return y + self.ffn(self.norm(y))
        result: Tensor = self.ffn(y)
        return result


class DualInteraction(nn.Module):
    """Panel (b), both directions, without the attention that follows: two maps B×C×H×W → two such maps (Z_I, Z_E)."""

    def __init__(self, channels: int, options: AttentionOptions, level: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) if options.norm else nn.Identity() for _ in range(2))
        self.branches = nn.ModuleList(CrossAttentionBranch(channels, options, level) for _ in range(2))

    def forward(self, image: Tensor, enhanced: Tensor) -> tuple[Tensor, ...]:
        own = [x.permute(0, 2, 3, 1) for x in (image, enhanced)]
        normed = [norm(x) for norm, x in zip(self.norms, own, strict=True)]
        exchanged = (
            branch(x, q, k) for branch, x, q, k in zip(self.branches, own, normed, reversed(normed), strict=True)
        )
        return tuple(x.permute(0, 3, 1, 2) for x in exchanged)


class Concatenation(nn.Module):
    """The plain fusion that the paper argues against: one 1×1 convolution of both streams joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, image: Tensor, enhanced: Tensor) -> tuple[Tensor, ...]:
        return (self.conv(torch.cat((image, enhanced), 1)),)


def spatial_attention(x: Tensor) -> Tensor:
    """Panel (d)'s gate: σ(mean over channels), B×C×H×W → B×1×H×W in (0, 1). It has no parameters."""
    return torch.sigmoid(x.mean(1, keepdim=True))
