"""Depthwise convolution with a large kernel (about 15×15 and more), fast on CPUs in prediction and in training.

    y[c](q) = Σ_d w[c](d) · x[c](q + d),        d over k×k offsets, values outside the image 0.

PyTorch's depthwise convolution is fast for maps that lie channels-last in memory, and slow for planar ones; its gradient in
the kernel is slow for both. So here maps are brought to channels-last, and the gradient in x is a forward convolution too, that
of the incoming gradient g with the flipped kernel. The gradient in w,

    dw[c](d) = Σ_q g[c](q) · x[c](q + d),

is a correlation of two whole maps of which few offsets are wanted: the product of their Fourier transforms, transformed back
once for all images.

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
_NUMBERS_AT_ONCE = 1 << 18
"""Images are transformed in groups of about this many numbers, which stay in the cache."""


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
    margin = kernel // 2
    # Long enough that no wanted offset meets another one on the circle.
    height, width = (_transform_length(max(size + margin, kernel)) for size in x.shape[-2:])
    step = max(1, _NUMBERS_AT_ONCE // (x.shape[1] * height * width))
    spectrum: Tensor | None = None
    for source, weights in zip(x.split(step), gradient.split(step), strict=True):  # type: ignore[no-untyped-call]
        product = (_transform(source, height, width) * _transform(weights, height, width).conj()).sum(0)
        spectrum = product if spectrum is None else spectrum.add_(product)
    assert spectrum is not None
    correlation = torch.fft.irfft2(spectrum, (height, width)).roll((margin, margin), (1, 2))
    return correlation[:, None, :kernel, :kernel]


def _transform(x: Tensor, height: int, width: int) -> Tensor:
    return torch.fft.rfft2(x.contiguous(), (height, width))


def _transform_length(least: int) -> int:
    """The next product of 2s, 3s and 5s: lengths for which transforms are fast."""
    rest = least
    for factor in (2, 3, 5):
        while rest % factor == 0:
            rest //= factor
    return least if rest == 1 else _transform_length(least + 1)
