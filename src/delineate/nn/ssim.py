"""Structural similarity of images, differentiable.

Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural similarity", IEEE TIP 13
(2004), equation 13, with that paper's window (Gaussian 11×11, σ = 1.5) and constants (K1 = .01, K2 = .03).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.precision import without_autocast

__all__ = ["SIGMA", "WINDOW", "ssim"]

WINDOW = 11
SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
"""(K1·L)² and (K2·L)² for the range L = 1."""


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity of each pair of images: B×C×H×W twice, in [0, 1] → B, at most 1, 1 where they are equal.

    Mean over channels and over all places where the whole window lies inside; for images smaller than 11 pixels the window
    shrinks to the largest odd size that fits. Computed in float32, also under autocast.
    """
    with without_autocast(x.device.type):
        x, y = x.float(), y.float()
        mean_x, mean_y = _smoothed(x), _smoothed(y)
        # A variance is a difference of nearly equal numbers, which rounding can make negative.
        var_x = (_smoothed(x * x) - mean_x * mean_x).clamp_min(0)
        var_y = (_smoothed(y * y) - mean_y * mean_y).clamp_min(0)
        covariance = _smoothed(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + _C1) / (mean_x * mean_x + mean_y * mean_y + _C1)
        structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
        return (luminance * structure).mean((1, 2, 3))


def _smoothed(x: Tensor) -> Tensor:
    """Gaussian mean of every window that lies inside: along rows, then along columns."""
    for axis in (2, 3):
        size = min(WINDOW, x.shape[axis] - 1 + x.shape[axis] % 2)
        places = torch.arange(size, device=x.device, dtype=x.dtype) - size // 2
        weights = torch.exp(-0.5 * (places / SIGMA) ** 2)
        kernel = (weights / weights.sum()).view((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        x = F.conv2d(x, kernel.expand(x.shape[1], -1, -1, -1), groups=x.shape[1])
    return x
