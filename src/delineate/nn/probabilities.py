"""Logits to probabilities: one channel by the sigmoid, several by the softmax.

In float32 whatever the precision of training, since probabilities that lie close together are compared.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["foreground_probability", "probabilities"]


def probabilities(logits: Tensor) -> Tensor:
    """Of each output channel: B×K×H×W → the same shape, in [0, 1]."""
    logits = logits.float()
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def foreground_probability(logits: Tensor) -> Tensor:
    """Of any foreground class: B×K×H×W → B×1×H×W in [0, 1]."""
    found = probabilities(logits)
    return found if logits.shape[1] == 1 else 1 - found[:, :1]
