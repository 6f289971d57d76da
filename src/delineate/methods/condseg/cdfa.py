"""Contrast-Driven Feature Aggregation (CDFA): a level's features aggregated by attention from foreground and background."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from delineate.nn.blocks import ConvBNAct, resize_like
from delineate.nn.window_attention import WindowAggregation, pixel_linear, planar_linear

__all__ = ["ContrastAggregation", "concat_deeper"]


class ContrastAggregation(nn.Module):
    """One level's CDFA: B×in×H×W with the prepared foreground and background features B×width×H×W → B×width×H×W.

    Both rounds share one projection; the second takes the first's result as its values.
    """

    def __init__(self, in_channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(ConvBNAct(in_channels, width, 3), ConvBNAct(width, width, 3))
        self.value = nn.Linear(width, width)
        self.foreground = WindowAggregation(width, width, heads)
        self.background = WindowAggregation(width, width, heads)
        self.project = nn.Linear(width, width)
        self.leave = nn.Sequential(ConvBNAct(width, width, 3), ConvBNAct(width, width, 3))

    def forward(self, x: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
        value = planar_linear(self.enter(x), self.value)
        value = planar_linear(self.foreground(value, foreground), self.project)
        return self.leave(pixel_linear(self.background(value, background), self.project))


def concat_deeper(x: Tensor, deeper: Tensor | None) -> Tensor:
    """A level's own features beside the up-sampled result of the level below (none below the deepest)."""
    return x if deeper is None else torch.cat((x, resize_like(deeper, x, align_corners=True)), 1)
