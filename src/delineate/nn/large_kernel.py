"""Depthwise convolution with a large kernel (about 15×15 and more), fast on CPUs in prediction and in training.

    y[c](q) = Σ_d w[c](d) · x[c](q + d),        d over k×k offsets, values outside the image 0.

PyTorch's depthwise convolution is fast for maps that lie channels-last in memory, and slow for planar ones; its gradient in
the kernel is slow for both. So here maps are brought to channels-last, and the gradients are forward convolutions too:
that in x is the convolution of the incoming gradient g with the flipped kernel, and that in w is

    dw[c](d) = Σ_q g[c](q) · x[c](q + d),

a convolution of x with g as the kernel, whose result has k×k pixels. g is cut into vertical strips, each strip and image a
channel of its own, which gives kernels of a width for which the fast code is made.

`ReparameterizedConv` is the trainable form of Ding et al., RepLKNet, CVPR 2022: a small kernel learns beside the large one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.batchnorm import scale_and_shift

__all__ = ["DepthwiseConv2d", "LargeKernelFunction", "ReparameterizedConv", "depthwise_conv2d"]

_MIN_KERNEL = 15
"""Below, PyTorch's own convolution is as fast (measured: benchmarks/large_kernel.py)."""
_MAX_STRIP = 48
"""Widest strip of the gradient, in pixels; narrower ones overlap more, wider ones are no faster."""


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.conv2d` with one k×k kernel per channel (k odd) and padding that keeps the size.

    `x` B×C×H×W, `weight` C×1×k×k, `bias` C or None → B×C×H×W. Differentiable once. On CPUs large kernels take the fast
    path, with a channels-last result, in float32 whatever the dtype (bfloat16 is no faster, and with few channels hundreds
    of times slower); everything else, and a graph to export or compile, is `F.conv2d`.
    """
    if not _has_fast_path(x, weight):
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    with torch.autocast("cpu", enabled=False):
        x, weight = x.float(), weight.float()
        if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
            y = LargeKernelFunction.apply(x, weight)
        else:
            y = _convolve(x, weight)
        return (y if bias is None else y + bias.float()[:, None, None]).to(dtype)


class LargeKernelFunction(torch.autograd.Function):
    """(x, weight) → y, with both gradients as forward convolutions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        needs_x, needs_weight = ctx.needs_input_grad
        return (
            _convolve(gradient, weight.flip(2, 3)) if needs_x else None,
            _kernel_gradient(x, gradient, weight.shape[-1]) if needs_weight else None,
        )


class DepthwiseConv2d(nn.Module):
    """`depthwise_conv2d` with its weights: B×C×H×W → the same shape."""

    bias: Tensor | None

    def __init__(self, channels: int, kernel: int, *, bias: bool = False) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel} pixels has no middle; choose an odd size")
        plain = nn.Conv2d(channels, channels, kernel, groups=channels, bias=bias)
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        return depthwise_conv2d(x, self.weight, self.bias)


class ReparameterizedConv(nn.Module):
    """BN(depthwise k×k) + BN(depthwise s×s), s < k: B×C×H×W → the same shape. In eval mode it equals `merged()`."""

    def __init__(self, channels: int, kernel: int, small_kernel: int) -> None:
        super().__init__()
        if small_kernel >= kernel:
            raise ValueError(f"the small kernel ({small_kernel}) must be smaller than the large one ({kernel})")
        self.large, self.large_norm = DepthwiseConv2d(channels, kernel), nn.BatchNorm2d(channels)
        self.small, self.small_norm = DepthwiseConv2d(channels, small_kernel), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.large_norm(self.large(x)) + self.small_norm(self.small(x))

    def merged(self) -> DepthwiseConv2d:
        """One k×k convolution with bias: each BatchNorm in its kernel, the small kernel in the middle of the large one."""
        channels, _, kernel, _ = self.large.weight.shape
        (large, large_shift), (small, small_shift) = scale_and_shift(self.large_norm), scale_and_shift(self.small_norm)
        inner = small[:, None, None, None] * self.small.weight.double()
        margin = (kernel - inner.shape[-1]) // 2
        result = DepthwiseConv2d(channels, kernel, bias=True).to(self.large.weight.device, self.large.weight.dtype)
        assert result.bias is not None
        with torch.no_grad():
            result.weight.copy_(large[:, None, None, None] * self.large.weight.double() + F.pad(inner, (margin,) * 4))
            result.bias.copy_(large_shift + small_shift)
        return result.requires_grad_(False)


def _has_fast_path(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and weight.shape[-1] >= _MIN_KERNEL
        and x.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and not torch.compiler.is_compiling()
    )


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight))


def _kernel_gradient(x: Tensor, gradient: Tensor, kernel: int) -> Tensor:
    """dw as C×1×k×k, of maps B×C×H×W."""
    batch, channels, _, width = x.shape
    strips = -(-width // _MAX_STRIP)
    strip, margin = -(-width // strips), kernel // 2
    padding = strips * strip - width
    source = F.pad(x, (margin, margin + padding, margin, margin)).permute(2, 3, 0, 1)
    source = source.unfold(1, strip + kernel - 1, strip)
    kernels = F.pad(gradient, (0, padding)).permute(2, 3, 0, 1).unfold(1, strip, strip)
    result = F.conv2d(_as_channels(source), _as_channels(kernels).transpose(0, 1), groups=batch * channels * strips)
    return result.view(-1, channels, 1, kernel, kernel).sum(0)


def _as_channels(strips: Tensor) -> Tensor:
    """H × strips × B × C × width → 1 × (strips·B·C) × H × width, channels-last."""
    height, _, _, _, width = strips.shape
    return strips.permute(0, 4, 1, 2, 3).reshape(1, height, width, -1).permute(0, 3, 1, 2)
