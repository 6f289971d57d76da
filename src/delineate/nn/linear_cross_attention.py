"""Linear cross-attention: attention of one map to another whose cost grows with the number of pixels, not with its square.

Keys and values of the context are first multiplied, over all pixels, to a small matrix of channels by channels; the queries are
multiplied by that. As used between two branches by Liu et al., ICCV 2023 (arXiv 2308.02097); from its equation. Keys and values are
normalized over the pixels and a temperature per head is learned (El-Nouby et al., "XCiT", NeurIPS 2021), so that the matrix does
not depend on the size of the image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LinearCrossAttention"]


class LinearCrossAttention(nn.Module):
    """q · softmax(τ·k̂ᵀ·v̂), the softmax over the keys' channels; q from `x`, k and v from `context`.

    `forward(x, context)`: B×C×H×W twice (sizes may differ) → B×C×H×W. Raises `ValueError` where `heads` does not divide C.
    """

    def __init__(self, channels: int, *, heads: int = 8) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be divided among {heads} heads")
        self.heads = heads
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.temperature = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        key, value = (
            F.normalize(self._split_heads(part).float(), dim=3) for part in self.key_value(context).chunk(2, 1)
        )
        attention = (key @ value.transpose(2, 3) * self.temperature[:, None, None]).softmax(2)
        query = self._split_heads(self.query(x))
        return (attention.to(query.dtype).transpose(2, 3) @ query).reshape(x.shape)

    def _split_heads(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×heads×C/heads×H·W."""
        return x.reshape(x.shape[0], self.heads, x.shape[1] // self.heads, -1)
