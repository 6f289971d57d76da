"""The decoder from all levels at once by 1×1 convolutions (an "all-MLP" decoder: Xie et al., NeurIPS 2021; from its equations).

Each level C_i → E, up-sampled to the finest level, joined, 4E → E with BatchNorm and ReLU, E → K, up-sampled to the image.
Computed as the same function in another order: a 1×1 convolution of joined maps is the sum of one convolution of each, and
a 1×1 convolution and bilinear up-sampling can change places; so everything but the last two steps runs at the levels' own sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import ConvBNAct, resize, resize_like

__all__ = ["LeanMLPDecoder", "MLPDecoder"]


class MLPDecoder(nn.Module):
    """`forward(levels, size)`: maps B×C_i×h_i×w_i, finest first → logits B×K×size."""

    def __init__(self, channels: Sequence[int], width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.fuse = ConvBNAct(len(channels) * width, width, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        parts = self.fuse.conv.weight.chunk(len(self.project), 1)
        maps = (F.conv2d(layer(x), part) for layer, part, x in zip(self.project, parts, levels, strict=True))
        x = self.fuse.act(self.fuse.norm(_summed(maps, levels[0])))
        return resize(self.head(self.dropout(x)), size)


class LeanMLPDecoder(nn.Module):
    """`MLPDecoder` in eval mode with both linear steps and BatchNorm as one 1×1 convolution C_i → E per level."""

    def __init__(self, decoder: MLPDecoder) -> None:
        super().__init__()
        norm = decoder.fuse.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        shift = norm.bias.double() - norm.running_mean.double() * scale
        weight = decoder.fuse.conv.weight.double().flatten(1) * scale[:, None]
        parts = zip(decoder.project, weight.chunk(len(decoder.project), 1), strict=True)
        self.levels = nn.ModuleList(
            _merged(layer, part, shift if index == 0 else None) for index, (layer, part) in enumerate(parts)
        )
        self.head = decoder.head

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        maps = (layer(x) for layer, x in zip(self.levels, levels, strict=True))
        return resize(self.head(F.relu(_summed(maps, levels[0]))), size)


def _summed(maps: Iterable[Tensor], finest: Tensor) -> Tensor:
    total, *others = (resize_like(x, finest) for x in maps)
    for x in others:
        total = total + x
    return total


def _merged(layer: nn.Module, after: Tensor, shift: Tensor | None) -> nn.Conv2d:
    """`after` (E×E, float64) applied to the output of a 1×1 convolution, and `shift` added, as one convolution."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    result = copy.deepcopy(layer)
    bias = after @ layer.bias.double()
    with torch.no_grad():
        result.weight.copy_((after @ layer.weight.double().flatten(1))[..., None, None])
        assert result.bias is not None
        result.bias.copy_(bias if shift is None else bias + shift)
    return result
