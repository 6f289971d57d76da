"""Upsample, concatenate and convolve in one step: neither the upsampled nor the concatenated map is kept in memory.

Nearest-neighbor ×2 followed by a 3×3 convolution is one transposed convolution with a 4×4 kernel and stride 2: each of its
entries is a sum of the 3×3 weights that would see copies of the same pixel. That is 16 multiply-adds per input pixel and
channel pair instead of 36. And a convolution of concatenated maps is the sum of the convolutions of each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["upsample_concat_conv"]


def upsample_concat_conv(conv: nn.Conv2d, x: Tensor, skip: Tensor | None) -> Tensor:
    """`conv(cat(nearest ×2 of x, skip))` for a 3×3 convolution with padding 1; equal up to rounding, gradients too.

    `x` B×C×h×w, `skip` B×S×2h×2w or None, `conv` from C+S channels. Result: B×out×2h×2w.
    """
    channels = x.shape[1]
    result = F.conv_transpose2d(x, _upsampling_kernel(conv.weight[:, :channels]), conv.bias, stride=2, padding=1)
    return result if skip is None else result + F.conv2d(skip, conv.weight[:, channels:], padding=1)


def _upsampling_kernel(weight: Tensor) -> Tensor:
    """Weights out×in×3×3 → in×out×4×4 of the transposed convolution: along each axis (c, b+c, a+b, a) for (a, b, c)."""
    rows = F.pad(weight, (0, 0, 1, 0)) + F.pad(weight, (0, 0, 0, 1))
    kernel = F.pad(rows, (1, 0)) + F.pad(rows, (0, 1))
    return torch.flip(kernel, (2, 3)).transpose(0, 1)
