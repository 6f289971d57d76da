"""Parts of CMAformer: patch embedding, residual convolutions, transformer layers, dilated convolutions, gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.dilated_conv import DilatedConv2d

__all__ = [
    "CrossGate",
    "DecoderLayer",
    "DilatedConvs",
    "EncoderLayer",
    "PatchEmbedding",
    "PreActivation",
    "SqueezeExcite",
]


class PatchEmbedding(nn.Module):
    """Overlapping patches at half the resolution, each weighted by a gate of its place and normalized over its channels.

    The gate is a depthwise convolution, which tells places apart by the border's zeros. B×in×H×W → B×out×⌈H/2⌉×⌈W/2⌉ in the form
    of tokens B×N×out, with their height and width.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.gate = nn.Conv2d(out_channels, out_channels, 3, padding=1, groups=out_channels)
        self.norm = nn.LayerNorm(out_channels, eps=1e-6)

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        x = self.projection(x)
        x = x * torch.sigmoid(self.gate(x))
        height, width = x.shape[-2:]
        return self.norm(x.flatten(2).mT), height, width


class SqueezeExcite(nn.Module):
    """Channel gate: x · σ(W₂ ReLU(W₁ mean(x))). B×C×H×W → the same shape."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


class PreActivation(nn.Module):
    """conv(act(norm(conv(act(norm(x)))))) + norm(conv(x)): B×in×H×W → B×out×⌈H/stride⌉×⌈W/stride⌉."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x) + self.shortcut(x)


class DilatedConvs(nn.Module):
    """Three dilated convolutions side by side, joined by a 1×1 convolution: B×in×H×W → B×out×H×W."""

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...] = (6, 12, 18)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                DilatedConv2d(in_channels, out_channels, 3, padding=rate, dilation=rate),
                nn.ReLU(),
                nn.BatchNorm2d(out_channels),
            )
            for rate in rates
        )
        self.join = nn.Conv2d(len(rates) * out_channels, out_channels, 1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([branch(x) for branch in self.branches], 1))


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


def _attend(attention: nn.MultiheadAttention, query: Tensor, memory: Tensor) -> Tensor:
    """`attention(query, memory, memory)`; in a graph to export written out, since PyTorch's own form fixes the number of images."""
    if not torch.compiler.is_exporting():
        return attention(query, memory, memory, need_weights=False)[0]
    assert attention.in_proj_weight is not None
    if not attention.batch_first:
        query, memory = query.transpose(0, 1), memory.transpose(0, 1)
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    sources = (query, memory, memory)
    q, k, v = (
        torch.unflatten(F.linear(x, weight, bias), -1, (attention.num_heads, -1)).transpose(1, 2)
        for x, weight, bias in zip(sources, weights, biases, strict=True)
    )
    shares = (q @ k.mT * attention.head_dim**-0.5).softmax(-1)
    found = attention.out_proj((shares @ v).transpose(1, 2).flatten(2))
    return found if attention.batch_first else found.transpose(0, 1)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, with the norm taken before each sum. Tokens B×N×C → the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = _feed_forward(width)

    def forward(self, x: Tensor) -> Tensor:
        query = self.norm1(x)
        x = self.norm2(_attend(self.attention, query, x) + query)
        return self.feed_forward(x) + x


class DecoderLayer(nn.Module):
    """Attention to the encoder's tokens and feed-forward, with the norm after each sum. Tokens B×N×C → the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = _feed_forward(width)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        x = self.norm1(_attend(self.attention, x, encoded) + x)
        return self.norm2(self.feed_forward(x) + x)


class CrossGate(nn.Module):
    """The decoder's map times a map of one channel, which is made of encoder's and decoder's: B×enc×H×W, B×dec×H×W → B×dec×H×W."""

    def __init__(self, encoder_channels: int, decoder_channels: int, hidden: int) -> None:
        super().__init__()
        self.encoder = _normed_conv(encoder_channels, hidden, 3)
        self.decoder = _normed_conv(decoder_channels, hidden, 3)
        self.gate = _normed_conv(hidden, 1, 1)

    def forward(self, encoded: Tensor, decoded: Tensor) -> Tensor:
        return self.gate(self.encoder(encoded) + self.decoder(decoded)) * decoded


def _normed_conv(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(in_channels), nn.ReLU(), nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    )
