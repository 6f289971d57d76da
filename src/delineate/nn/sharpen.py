"""Probabilities made more certain."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sharpen"]


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """p^(1/T) / (p^(1/T) + (1 − p)^(1/T)) (Xie et al., NeurIPS 2020, as MC-Net has it: each channel by itself).

    Computed as σ(logit(p) / T), whose gradient is finite where p is 0 or 1.

    Args:
        probabilities: In [0, 1], of any shape.
        temperature: T; below 1 it sharpens, 1 changes nothing.

    Returns:
        The same shape; of several classes the channels no longer sum to 1.

    Example:
        >>> from delineate.nn.sharpen import sharpen
        >>> [round(value, 3) for value in sharpen(torch.tensor([0.0, 0.4, 0.5, 0.6]), 0.5).tolist()]
        [0.0, 0.308, 0.5, 0.692]
    """
    return torch.sigmoid(torch.logit(probabilities, eps=1e-6) / temperature)
