"""Attention of one feature map to another: queries from the one, keys and values from the other.

Vaswani et al., NeurIPS 2017; keys and values may come from a coarser grid (Wang et al., PVT, ICCV 2021). Maps are held
channels-last here, B×H×W×C, so that linear layers and normalizations apply to them as they are.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import pad_to_multiple

__all__ = ["CrossAttention"]


class CrossAttention(nn.Module):
    """softmax(q·kᵀ·scale)·v with q from `x`, k and v from `context`; no output projection, no skip.

    `forward(x, context)`: B×H×W×C twice → (attended, queries), each B×H×W×C; the queries are given back for networks that add
    them. `scaled`: scale = 1/√(C/heads), else 1. `reduction` r > 1: keys and values from a grid r times coarser, by a r×r
    convolution of stride r and LayerNorm; sizes it does not divide are padded with edge values.
    Raises `ValueError` where `heads` does not divide the channels.
    """

    def __init__(self, channels: int, *, heads: int = 1, reduction: int = 1, scaled: bool = True) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be divided among {heads} heads")
        self.heads, self.reduction = heads, reduction
        self.scale = (channels // heads) ** -0.5 if scaled else 1.0
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        if reduction > 1:
            self.coarsen = nn.Conv2d(channels, channels, reduction, stride=reduction)
            self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        queries = self.query(x)
        if self.reduction > 1:
            context = self.norm(self._coarsened(context))
        q, k, v = (self._split_heads(part) for part in (queries, self.key(context), self.value(context)))
        attended = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return attended.transpose(1, 2).reshape(queries.shape), queries

    def _coarsened(self, context: Tensor) -> Tensor:
        image = pad_to_multiple(context.permute(0, 3, 1, 2), self.reduction)
        return self.coarsen(image).permute(0, 2, 3, 1)

    def _split_heads(self, x: Tensor) -> Tensor:
        """B×H×W×C → B×heads×H·W×C/heads."""
        return x.reshape(x.shape[0], -1, self.heads, x.shape[3] // self.heads).transpose(1, 2)
