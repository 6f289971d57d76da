"""Cross-scan and cross-merge: a map as four sequences, and four sequences as a map, for a 1-D recurrence on 2-D features.

Liu et al., VMamba, NeurIPS 2024, arXiv 2401.10166. The sequences visit the pixels (0) row by row, (1) column by column, (2) as 0
backwards and (3) as 1 backwards. Merging adds the four up on the map. Both are linear and each is the adjoint of the other, so
the backward pass of one is the other.

Memory order: sequences are written time-major, B×L×4×C in memory (seen as B×4×C×L), where a pixel's channels stay together:
copies move whole pixels, and each step of a recurrence finds its channels side by side.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["DIRECTIONS", "cross_merge", "cross_scan"]

DIRECTIONS = 4


def cross_scan(x: Tensor) -> Tensor:
    """The four sequences of a map: B×C×H×W (any memory order) → B×4×C×L with L = H·W. Differentiable any number of times."""
    return _Scan.apply(x) if torch.is_grad_enabled() and x.requires_grad else _scan(x)


def cross_merge(sequences: Tensor, height: int, width: int) -> Tensor:
    """The sum of four sequences on their map: B×4×C×L (any memory order) → B×C×H×W. `cross_merge(cross_scan(x)) = 4·x`.

    Raises `ValueError` where the sequences are not four, or not H·W long.
    """
    if sequences.shape[1] != DIRECTIONS or sequences.shape[3] != height * width:
        raise ValueError(f"sequences of shape {tuple(sequences.shape)} are not four of {height}×{width} pixels")
    if torch.is_grad_enabled() and sequences.requires_grad:
        return _Merge.apply(sequences, height, width)
    return _merge(sequences, height, width)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.size = x.shape[2:]
        return _scan(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return cross_merge(gradient, *ctx.size)


class _Merge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sequences: Tensor, height: int, width: int) -> Tensor:
        return _merge(sequences, height, width)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return cross_scan(gradient), None, None


def _scan(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1)
    if torch.compiler.is_exporting():  # writing into parts of a tensor is a copy of all of it there
        both = torch.stack([pixels.flatten(1, 2), pixels.transpose(1, 2).flatten(1, 2)], 2)
        return torch.cat([both, both.flip(1)], 2).permute(0, 2, 3, 1)
    result = x.new_empty(batch, height * width, DIRECTIONS, channels)
    result[:, :, 0].view(batch, height, width, channels).copy_(pixels)
    result[:, :, 1].view(batch, width, height, channels).copy_(pixels.transpose(1, 2))
    result[:, :, 2:].copy_(result[:, :, :2].flip(1))
    return result.permute(0, 2, 3, 1)


def _merge(sequences: Tensor, height: int, width: int) -> Tensor:
    steps = sequences.permute(0, 3, 1, 2)
    both_ways = steps[:, :, :2] + steps[:, :, 2:].flip(1)
    batch, _, _, channels = both_ways.shape
    by_rows = both_ways[:, :, 0].view(batch, height, width, channels)
    by_columns = both_ways[:, :, 1].view(batch, width, height, channels)
    return (by_rows + by_columns.transpose(1, 2)).permute(0, 3, 1, 2)
