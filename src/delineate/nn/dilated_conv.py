"""Dilated convolution that may be trained in bfloat16 on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.precision import autocast_dtype

__all__ = ["DilatedConv2d"]

_BLOCK = 16
"""Channels that the CPU's kernel takes at once."""


class DilatedConv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, the same weights and results, with a way around a fault of PyTorch's CPU kernels.

    The gradient of a dilated kernel's weights in bfloat16 (PyTorch 2.15 with oneDNN, channels last) is NaN, or the process ends by
    a segmentation fault, where there are more than 16 input channels and no multiple of 16. There channels of zeros fill them up;
    the kernel does so itself, and it costs a copy of the input.
    """

    def forward(self, x: Tensor) -> Tensor:
        missing = -self.in_channels % _BLOCK
        faulty = missing and self.in_channels > _BLOCK and self.groups == 1
        if faulty and x.device.type == "cpu" and autocast_dtype("cpu") == torch.bfloat16:
            filled = (0, 0, 0, 0, 0, missing)
            return self._conv_forward(F.pad(x, filled), F.pad(self.weight, filled), self.bias)
        return super().forward(x)
