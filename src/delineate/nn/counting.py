"""Parameters and FLOPs: how large a network is and how much arithmetic one image costs."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Cost", "count_cost", "count_parameters"]


@dataclass(frozen=True)
class Cost:
    """`parameters`: numbers that training may move. `flops`: floating-point operations of one forward pass in
    convolutions and matrix products (a multiply-add counts as two); element-wise work is not counted."""

    parameters: int
    flops: int

    @property
    def gigaflops(self) -> float:
        return self.flops / 1e9


def count_parameters(module: nn.Module) -> int:
    """Number of elements in all parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_cost(module: nn.Module, *, in_channels: int, size: tuple[int, int]) -> Cost:
    """Parameters and FLOPs of `module(image)` for one image in_channels×height×width, in eval mode.

    Works on shapes alone (the meta device): no arithmetic is done and `module` is left as it was.
    """
    on_meta = copy.deepcopy(module).eval().to("meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        on_meta(torch.empty(1, in_channels, *size, device="meta"))
    return Cost(count_parameters(module), counter.get_total_flops())
