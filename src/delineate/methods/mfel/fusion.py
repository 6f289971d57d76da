"""BFM, bi-directional fusion: segmentation and reconstruction features of one scale are exchanged."""

from __future__ import annotations

import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from delineate.methods.mfel.options import FusionOptions
from delineate.nn.blocks import ConvBNAct
from delineate.nn.linear_cross_attention import LinearCrossAttention

__all__ = ["GATE_REDUCTION", "AttentionExchange", "CrossAttentionExchange", "Fusion", "GatedExchange"]

GATE_REDUCTION = 4


class Fusion(nn.Module):
    """`forward(S, R)`: both B×C×h×w → (Z, R'), what the segmentation's and what the reconstruction's decoder reads.

    After an exchange, Z is a 1×1 convolution (BatchNorm, ReLU) of [S', R', S'·R']. One-way: R' = R. `sum`: Z = S + R;
    `none`: Z = S; both leave R as it is.
    """

    def __init__(self, channels: int, options: FusionOptions) -> None:
        super().__init__()
        self.kind = options.kind
        if options.kind not in ("sum", "none"):
            both = options.directions == "both"
            self.exchange: nn.Module = (
                GatedExchange(channels, both=both)
                if options.kind == "gate"
                else AttentionExchange(channels, both=both, heads=options.heads)
            )
            self.join = ConvBNAct(3 * channels, channels, 1)

    def forward(self, segmentation: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind == "none":
            return segmentation, reconstruction
        if self.kind == "sum":
            return segmentation + reconstruction, reconstruction
        s, r = self.exchange(segmentation, reconstruction)
        return self.join(torch.cat((s, r, s * r), 1)), r


class GatedExchange(nn.Module):
    """S' = S + g·A_R·R and R' = R + (1 − g)·A_S·S, after the interactive gated mix attention of Zhang et al., CVPR 2024 (MRFS).

    g = σ of a 1×1 convolution of [S, R], one number per channel and pixel. A = σ(channel)·σ(spatial): the channels' by one MLP
    of the mean and of the maximum of [S, R], the pixels' by a 1×1 convolution of the means and maxima of S and of R over
    their channels.
    """

    def __init__(self, channels: int, *, both: bool) -> None:
        super().__init__()
        ways, joined = 2 if both else 1, 2 * channels
        self.both = both
        self.gate = nn.Conv2d(joined, channels, 1)
        hidden = max(1, joined // GATE_REDUCTION)
        self.channel = nn.Sequential(
            nn.Conv2d(joined, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, ways * channels, 1)
        )
        self.spatial = nn.Conv2d(4, ways, 1)

    def forward(self, s: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat((s, r), 1)
        gate = torch.sigmoid(self.gate(joined))
        attention = [a * b for a, b in zip(self._of_channels(joined), self._of_pixels(s, r), strict=True)]
        to_segmentation = s + gate * attention[0] * r
        return to_segmentation, r + (1 - gate) * attention[1] * s if self.both else r

    def _of_channels(self, joined: Tensor) -> tuple[Tensor, ...]:
        pooled = joined.mean((2, 3), keepdim=True), joined.amax((2, 3), keepdim=True)
        average, largest = (self.channel(x) for x in pooled)
        return torch.sigmoid(average + largest).chunk(2 if self.both else 1, 1)

    def _of_pixels(self, s: Tensor, r: Tensor) -> tuple[Tensor, ...]:
        pooled = [pool for x in (s, r) for pool in (x.mean(1, keepdim=True), x.amax(1, keepdim=True))]
        return torch.sigmoid(self.spatial(torch.cat(pooled, 1))).chunk(2 if self.both else 1, 1)


class AttentionExchange(nn.Module):
    """S' = S + LN(W·[S, A(S, R)]) and R' = R + LN(W·[R, A(R, S)]), A linear cross-attention with its first argument's queries."""

    def __init__(self, channels: int, *, both: bool, heads: int) -> None:
        super().__init__()
        self.directions = nn.ModuleList(CrossAttentionExchange(channels, heads) for _ in range(2 if both else 1))

    def forward(self, s: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        first, *second = self.directions
        return first(s, r), second[0](r, s) if second else r


class CrossAttentionExchange(nn.Module):
    """One direction of the exchange."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attention = LinearCrossAttention(channels, heads=heads)
        self.project = nn.Conv2d(2 * channels, channels, 1)
        self.norm = LayerNorm2d(channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return x + self.norm(self.project(torch.cat((x, self.attention(x, context)), 1)))
