"""Brightness of color images."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["luminance"]

_BT601 = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


def luminance(image: Tensor) -> Tensor:
    """BT.601 luminance of three channels (red, green, blue), the mean of any other number: B×C×H×W → B×1×H×W."""
    if image.shape[1] != len(_BT601):
        return image.mean(1, keepdim=True)
    # `torch.tensor(..., device=...)` would wait for the GPU.
    weights = torch.tensor(_BT601, dtype=image.dtype).to(image.device, non_blocking=True)
    return (image * weights.view(1, -1, 1, 1)).sum(1, keepdim=True)
