"""An exponential moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import nn


def decay(most: float, ramp: float, step: int) -> float:
    """The decay after `step` (from 0): (1 + step) / (ramp + step), at most `most`; without a ramp always `most`.

    While the decay rises, the average is nearly the mean of all weights so far, instead of clinging to the random first ones.
    """
    return min(most, (1 + step) / (ramp + step)) if ramp > 0 else most


@torch.no_grad()
def average(mean: nn.Module, now: nn.Module, decay: float) -> None:
    """Move the parameters of `mean` towards those of `now`; buffers are copied, so that running statistics fit."""
    for old, new in zip(mean.parameters(), now.parameters(), strict=True):
        old.lerp_(new, 1 - decay)
    for kept, buffer in zip(mean.buffers(), now.buffers(), strict=True):
        kept.copy_(buffer)
