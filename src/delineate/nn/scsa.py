"""The two attentions of SCSA: spatial attention, with kernels of several lengths shared by both axes, and channel self-attention.

Si et al., "SCSA: Exploring the synergistic effects between spatial and channel attention", Neurocomputing 2025, arXiv
2407.05128, where they are called SMSA and PCSA. Written anew; equal to the released modules (Apache-2.0) to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import known

__all__ = ["ChannelSelfAttention", "SharedSpatialAttention"]


class SharedSpatialAttention(nn.Module):
    """x · a_H · a_W: each row and each column weighs every channel. B×C×H×W → the same shape.

    Per axis: mean over the other axis → C split into as many parts as there are kernels → depthwise 1-D convolution of
    each part with its kernel, the same weights for both axes → GroupNorm with as many groups, one for each axis →
    sigmoid. C must be a multiple of the number of kernels.
    """

    def __init__(self, channels: int, kernels: Sequence[int] = (3, 5, 7, 9)) -> None:
        super().__init__()
        if channels % len(kernels):
            raise ValueError(f"{channels} channels cannot be divided among {len(kernels)} kernels")
        part = channels // len(kernels)
        self.convs = nn.ModuleList(nn.Conv1d(part, part, k, padding=k // 2, groups=part) for k in kernels)
        self.norm_height = nn.GroupNorm(len(kernels), channels)
        self.norm_width = nn.GroupNorm(len(kernels), channels)

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.gates(x)
        return x * height * width

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """a_H as B×C×H×1 and a_W as B×C×1×W, in [0, 1]."""
        height = self.norm_height(self._convolve(x.mean(3))).sigmoid()
        width = self.norm_width(self._convolve(x.mean(2))).sigmoid()
        return height.unsqueeze(3), width.unsqueeze(2)

    def _convolve(self, line: Tensor) -> Tensor:
        """All convolutions as one, every kernel padded with zeros to the longest: B×C×L → B×C×L.

        Written as products and a sum: PyTorch's 1-D depthwise convolution goes channel by channel for lines this short.
        """
        convs = cast("list[nn.Conv1d]", list(self.convs))
        longest = max(conv.weight.shape[-1] for conv in convs)
        weight = torch.cat([F.pad(conv.weight, ((longest - conv.weight.shape[-1]) // 2,) * 2) for conv in convs])
        bias = torch.cat([conv.bias for conv in convs if conv.bias is not None])
        windows = F.pad(line, (longest // 2,) * 2).unfold(2, longest, 1)
        return (windows * weight).sum(3) + bias[:, None]


class ChannelSelfAttention(nn.Module):
    """x · a_C: channels attend to each other, and the mean of what a channel attends to is its gate. B×C×H×W → the same shape.

    Average pooling (window×window, no overlap; the window is never larger than the map) → GroupNorm over everything →
    Q, K, V, each a factor per channel → softmax(Q Kᵀ / √d) V over the d = C/heads channels of a head, with pooled pixels as
    their features → mean over pixels → sigmoid.
    """

    def __init__(self, channels: int, *, heads: int = 1, window: int = 7) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be divided among {heads} heads")
        self.heads, self.window = heads, window
        self.norm = nn.GroupNorm(1, channels)
        self.query, self.key, self.value = (nn.Parameter(torch.empty(channels).uniform_(-1, 1)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)

    def gate(self, x: Tensor) -> Tensor:
        """a_C as B×C×1×1, in [0, 1]."""
        height, width = x.shape[-2:]
        # A graph for any size is for maps that have room for the window (`MethodInfo.export_least`).
        window = min(self.window, height, width) if known(height, width) else self.window
        pooled = self.norm(F.avg_pool2d(x, window))
        query, key, value = (self._split_heads(pooled * w[:, None, None]) for w in (self.query, self.key, self.value))
        attention = (query @ key.transpose(2, 3) * query.shape[2] ** -0.5).softmax(-1)
        # The mean over pixels is linear, so it is taken of V before the product: a vector instead of a map.
        attended = attention @ value.mean(3, keepdim=True)
        return attended.sigmoid().view(x.shape[0], -1, 1, 1)

    def _split_heads(self, x: Tensor) -> Tensor:
        """B×C×h×w → B×heads×C/heads×(h·w)."""
        return x.reshape(x.shape[0], self.heads, -1, x.shape[2] * x.shape[3])
