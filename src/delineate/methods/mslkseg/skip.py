"""The skip connection's block, Large Kernel Depthwise Separable convolution (LD)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.batchnorm import scale_and_shift
from delineate.nn.blocks import ConvBNAct
from delineate.nn.large_kernel import DepthwiseConv2d, ReparameterizedConv

__all__ = ["LargeKernelSkip", "SkipForm"]

SkipForm = Literal["normed", "drawn", "replknet"]


class LargeKernelSkip(nn.Module):
    """BN → 1×1 → re-parameterized depthwise k×k → ReLU → 1×1, added to the input: B×C×H×W → the same shape.

    `form`: `drawn` is that to the letter; `normed` has a BatchNorm after each 1×1 convolution as well; `replknet` also a
    ReLU after the first (the block of RepLKNet, Ding et al., CVPR 2022).
    """

    def __init__(self, channels: int, *, kernel: int, small_kernel: int, form: SkipForm) -> None:
        super().__init__()
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        self.enter = _pointwise(channels, form, act=form == "replknet")
        self.depthwise: ReparameterizedConv | DepthwiseConv2d = ReparameterizedConv(channels, kernel, small_kernel)
        self.leave = _pointwise(channels, form, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.response(x)

    def response(self, x: Tensor) -> Tensor:
        """What is added to the input."""
        return self.leave(F.relu(self.depthwise(self.enter(self.norm(x)))))

    def merge(self) -> None:
        """Make both kernels one, and take the first BatchNorm into the 1×1 convolution; for inference, in place."""
        if isinstance(self.depthwise, ReparameterizedConv):
            self.depthwise = self.depthwise.merged()
        if isinstance(self.norm, nn.BatchNorm2d):
            name, conv = next(iter(self.enter.named_children()))
            assert isinstance(conv, nn.Conv2d)
            setattr(self.enter, name, _after_norm(self.norm, conv))
            self.norm = nn.Identity()


def _pointwise(channels: int, form: SkipForm, *, act: bool) -> nn.Sequential:
    if form == "drawn":
        return nn.Sequential(nn.Conv2d(channels, channels, 1))
    return ConvBNAct(channels, channels, 1, act=act)


def _after_norm(norm: nn.BatchNorm2d, conv: nn.Conv2d) -> nn.Conv2d:
    """One 1×1 convolution that does what BatchNorm (in eval mode) and then `conv` do; exact, since it does not pad."""
    scale, shift = scale_and_shift(norm)
    result = nn.Conv2d(conv.in_channels, conv.out_channels, 1).to(conv.weight.device, conv.weight.dtype)
    weight = conv.weight.double()
    assert result.bias is not None
    with torch.no_grad():
        result.weight.copy_(weight * scale[:, None, None])
        result.bias.copy_(weight[:, :, 0, 0] @ shift + (0 if conv.bias is None else conv.bias.double()))
    return result
