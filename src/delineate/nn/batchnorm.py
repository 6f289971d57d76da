"""Batch normalization: as what it is in eval mode, a factor and a summand per channel; and of maps that may be a single pixel."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PooledBatchNorm", "scale_and_shift"]


class PooledBatchNorm(nn.BatchNorm2d):
    """Of pooled maps B×C×1×1. A batch of one image has no statistics there, and PyTorch refuses to train on it; here it is
    normalized by the running ones."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(s, t), float64, C each, with BN(x) = s·x + t by the running statistics. Needs these and the affine weights."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() * (norm.running_var.double() + norm.eps).rsqrt()
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale
