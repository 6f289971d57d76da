"""A convolution of maps that are first resized to one size and concatenated, from less work.

    conv(cat(resize(x₁), resize(x₂), …))

A convolution of concatenated maps is the sum of the convolutions of each, so nothing is concatenated, forward or backward.
And bilinear interpolation along one axis commutes with a convolution along the other: with the k×k kernel cut into its k rows,

    conv(resize(x)) = Σ_r shifted by r( resize rows( row r of the kernel * resize columns(x) ) ),

where the convolutions run on maps that have the columns of the result but only the rows of x: half the arithmetic for
twice the size, a quarter for four times. A 1×1 kernel commutes with all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import ConvBNAct, resize, size_of
from delineate.nn.precision import autocast_dtype

__all__ = ["convolve_joined"]

_WORTH = 1.5
"""From so many times the rows on, less arithmetic outweighs the additions that it takes."""


def convolve_joined(block: ConvBNAct, maps: Sequence[Tensor], size: tuple[int, int] | None = None) -> Tensor:
    """`block(torch.cat([resize(x, size) for x in maps], 1))` with align_corners=True; equal up to rounding, gradients too.

    `block` with stride 1 and dilation 1. `size`: height and width of the result; default: those of the first map. Only CPUs cut
    kernels into rows, and only in float32 and without gradients; a graph to export concatenates, unless the kernel is 1×1.
    """
    size = size or size_of(maps[0])
    conv, *rest = block
    assert isinstance(conv, nn.Conv2d)
    if torch.compiler.is_compiling() and conv.kernel_size != (1, 1):
        return block(torch.cat([resize(x, size, align_corners=True) for x in maps], 1))
    bias, total = conv.bias, None
    for x, weight in zip(maps, conv.weight.split([x.shape[1] for x in maps], 1), strict=True):  # type: ignore[no-untyped-call]
        part = _resized_conv(x, weight, bias, size)
        total, bias = part if total is None else total.add_(part), None
    assert total is not None
    for layer in rest:
        total = layer(total)
    return total


def _resized_conv(x: Tensor, weight: Tensor, bias: Tensor | None, size: tuple[int, int]) -> Tensor:
    kernel = weight.shape[-1]
    if kernel == 1:
        return resize(F.conv2d(x, weight, bias), size, align_corners=True)
    if size[0] < _WORTH * x.shape[-2] or not _may_cut_kernels(x):
        return F.conv2d(resize(x, size, align_corners=True), weight, bias, padding=kernel // 2)
    return _sum_over_rows(x, weight, bias, size)


def _may_cut_kernels(x: Tensor) -> bool:
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and autocast_dtype("cpu") is None
    return plain and not torch.is_grad_enabled()


def _sum_over_rows(x: Tensor, weight: Tensor, bias: Tensor | None, size: tuple[int, int]) -> Tensor:
    wide, margin = resize(x, (x.shape[-2], size[1]), align_corners=True), weight.shape[-1] // 2

    def row(offset: int, bias: Tensor | None = None) -> Tensor:
        middle = weight[:, :, margin + offset, None].contiguous(memory_format=torch.channels_last)
        return resize(F.conv2d(wide, middle, bias, padding=(0, margin)), size, align_corners=True)

    total = row(0, bias)
    for offset in range(1, min(margin + 1, size[0])):
        # A row of the kernel that lies `offset` above the middle sees what lies `offset` above; outside is zero.
        total[:, :, offset:].add_(row(-offset)[:, :, :-offset])
        total[:, :, :-offset].add_(row(offset)[:, :, offset:])
    return total
