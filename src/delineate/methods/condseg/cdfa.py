"""Contrast-Driven Feature Aggregation (CDFA): a level's features aggregated by attention from foreground and background."""

from __future__ import annotations

from torch import Tensor, nn

from delineate.nn.blocks import ConvBNAct
from delineate.nn.joined_conv import convolve_joined
from delineate.nn.window_attention import WindowAggregation, pixel_linear, planar_linear

__all__ = ["ContrastAggregation"]


class ContrastAggregation(nn.Module):
    """One level's CDFA: B×width×H×W with the prepared foreground and background features B×width×H×W → B×width×H×W.

    `deeper`: the level below's result, which is up-sampled and concatenated to the input; None at the deepest. Both rounds share
    one projection; the second takes the first's result as its values.
    """

    def __init__(self, in_channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(ConvBNAct(in_channels, width, 3), ConvBNAct(width, width, 3))
        self.value = nn.Linear(width, width)
        self.foreground = WindowAggregation(width, width, heads)
        self.background = WindowAggregation(width, width, heads)
        self.project = nn.Linear(width, width)
        self.leave = nn.Sequential(ConvBNAct(width, width, 3), ConvBNAct(width, width, 3))

    def forward(self, x: Tensor, foreground: Tensor, background: Tensor, deeper: Tensor | None = None) -> Tensor:
        first, second = self.enter
        assert isinstance(first, ConvBNAct)
        x = second(convolve_joined(first, (x,) if deeper is None else (x, deeper)))
        value = planar_linear(x, self.value)
        value = planar_linear(self.foreground(value, foreground), self.project)
        return self.leave(pixel_linear(self.background(value, background), self.project))
