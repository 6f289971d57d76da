"""The skip connection's block, Large Kernel Depthwise Separable convolution (LD)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import ConvBNAct
from delineate.nn.large_kernel import DepthwiseConv2d, ReparameterisedConv

SkipForm = Literal["normed", "drawn", "replknet"]


class LargeKernelSkip(nn.Module):
    """BN → 1×1 → re-parameterised depthwise k×k → ReLU → 1×1, added to the input: B×C×H×W → the same shape.

    `form`: `drawn` is that to the letter; `normed` has a BatchNorm after each 1×1 convolution as well; `replknet` also a
    ReLU after the first (the block of RepLKNet, Ding et al., CVPR 2022).
    """

    def __init__(self, channels: int, *, kernel: int, small_kernel: int, form: SkipForm) -> None:
        super().__init__()
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        self.enter = _pointwise(channels, form, act=form == "replknet")
        self.depthwise: ReparameterisedConv | DepthwiseConv2d = ReparameterisedConv(channels, kernel, small_kernel)
        self.leave = _pointwise(channels, form, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.response(x)

    def response(self, x: Tensor) -> Tensor:
        """What is added to the input."""
        return self.leave(F.relu(self.depthwise(self.enter(self.norm(x)))))

    def merge(self) -> None:
        """Make both kernels one; for inference, in place."""
        if isinstance(self.depthwise, ReparameterisedConv):
            self.depthwise = self.depthwise.merged()


def _pointwise(channels: int, form: SkipForm, *, act: bool) -> nn.Sequential:
    if form == "drawn":
        return nn.Sequential(nn.Conv2d(channels, channels, 1))
    return ConvBNAct(channels, channels, 1, act=act)
