"""Stage I, Consistency Reinforcement: the head on the bare encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import ConvBNAct, resize

__all__ = ["ReinforcementHead"]


class ReinforcementHead(nn.Module):
    """Encoder maps → logits B×classes at the image's size.

    In the paper each map is up-sampled to full size, reduced by a 1×1 convolution, BatchNorm and ReLU, and all are
    concatenated for a last 1×1 convolution. The first convolution commutes with interpolation and the last is a sum over
    levels; done in that order, full-size maps have `width` channels instead of up to 1024. The numbers are the same.
    """

    def __init__(self, channels: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(ConvBNAct(count, width, 1) for count in channels)
        self.fuse = nn.Conv2d(len(channels) * width, classes, 1, bias=False)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        weights = self.fuse.weight.chunk(len(maps), 1)
        parts = [self._level(block, x, size, w) for block, x, w in zip(self.reduce, maps, weights, strict=True)]
        return torch.stack(parts).sum(0)

    @staticmethod
    def _level(block: nn.Module, x: Tensor, size: tuple[int, int], weight: Tensor) -> Tensor:
        full = resize(block.get_submodule("conv")(x), size, align_corners=True)
        return F.conv2d(block.get_submodule("act")(block.get_submodule("norm")(full)), weight)
