"""MVM, multi-branch vision mamba: groups of channels, each with a selective scan at its own scale."""

from __future__ import annotations

import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.methods.mfel.options import MambaOptions
from delineate.nn.precision import without_autocast
from delineate.nn.ss2d import SS2D

__all__ = ["GATE_REDUCTION", "ChannelGate", "MultiBranchMamba"]

GATE_REDUCTION = 4


class MultiBranchMamba(nn.Module):
    """x + s·gate(x)·branches(LN(x)), then x + FFN(LN(x)); B×C×H×W → the same shape.

    Branch k of K takes C/K channels: SiLU of a depthwise 3×3 convolution with dilation k, then a two-dimensional selective
    scan without a convolution of its own. `s` is one learned number. C must be a multiple of K.
    """

    def __init__(self, channels: int, options: MambaOptions) -> None:
        super().__init__()
        part = channels // options.branches
        dilations = range(1, options.branches + 1) if options.dilations else (1,) * options.branches
        self.norm = LayerNorm2d(channels)
        self.scales = nn.ModuleList(
            nn.Conv2d(part, part, 3, padding=dilation, dilation=dilation, groups=part) for dilation in dilations
        )
        self.scans = nn.ModuleList(
            SS2D(part, state=options.state, ratio=options.ratio, conv=False, gate=options.inner_gate) for _ in dilations
        )
        self.gate = ChannelGate(channels) if options.gate else None
        self.scale = nn.Parameter(torch.ones(()))
        self.feed_forward = _feed_forward(channels, options.ffn_ratio) if options.ffn_ratio else None

    def forward(self, x: Tensor) -> Tensor:
        parts = self.norm(x).chunk(len(self.scans), 1)
        branches = zip(self.scales, self.scans, parts, strict=True)
        y = torch.cat([scan(self._convolve(scale, part)) for scale, scan, part in branches], 1)
        if self.gate is not None:
            y = y * self.gate(x)
        x = x + self.scale * y
        return x if self.feed_forward is None else x + self.feed_forward(x)

    @staticmethod
    def _convolve(scale: nn.Module, part: Tensor) -> Tensor:
        # In bfloat16 PyTorch's gradient of a dilated depthwise convolution is not always finite (2.15, CPU, channels-last).
        with without_autocast(part.device.type):
            return F.silu(scale(part.to(next(scale.parameters()).dtype)))


class ChannelGate(nn.Module):
    """σ(W2·ReLU(W1·[mean; maximum])) of each channel over all pixels: B×C×H×W → B×C×1×1 in (0, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // GATE_REDUCTION)
        self.enter = nn.Conv2d(2 * channels, hidden, 1)
        self.leave = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat((x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)), 1)
        return torch.sigmoid(self.leave(F.relu(self.enter(pooled))))


def _feed_forward(channels: int, ratio: float) -> nn.Sequential:
    hidden = max(1, round(channels * ratio))
    return nn.Sequential(
        LayerNorm2d(channels), nn.Conv2d(channels, hidden, 1), nn.GELU(), nn.Conv2d(hidden, channels, 1)
    )
