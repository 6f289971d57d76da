"""Exponential moving average (EMA) of a network's weights."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["ema_decay", "update_average"]


def ema_decay(largest: float, ramp: float, step: int) -> float:
    """The decay after `step` (from 0): (1 + step) / (ramp + step), at most `largest`; without a ramp always `largest`.

    While the decay rises, the average is nearly the mean of all weights so far. A large decay from the first step would keep the
    random first weights for long.
    """
    return min(largest, (1 + step) / (ramp + step)) if ramp > 0 else largest


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the parameters of `average` towards those of `network`. Buffers (running statistics) are copied, not averaged."""
    for mean, latest in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(latest, 1 - decay)
    for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(buffer)
