"""Batch normalization as what it is in eval mode: a factor and a summand per channel."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["scale_and_shift"]


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(s, t), float64, C each, with BN(x) = s·x + t by the running statistics. Needs these and the affine weights."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() * (norm.running_var.double() + norm.eps).rsqrt()
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale
