"""Convolution blocks, bilinear resizing, padding and attention gates that no single paper owns."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.dilated_conv import DilatedConv2d

__all__ = [
    "ChannelAttention",
    "ConvBNAct",
    "SpatialAttention",
    "UpSample",
    "crop",
    "known",
    "pad_to_multiple",
    "resize",
    "resize_like",
    "size_of",
]


class ConvBNAct(nn.Sequential):
    """Conv k×k without bias → BatchNorm → ReLU: B×in×H×W → B×out×⌈H/stride⌉×⌈W/stride⌉.

    The padding keeps the size at stride 1. Children: `conv`, `norm`, `act`; `nn.fuse.fold_batchnorm` merges the first two.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the kernel in pixels, odd.
        stride: 2 halves height and width.
        dilation: Distance of the kernel's entries in pixels.
        groups: As for `torch.nn.Conv2d`.
        act: False leaves the ReLU out.

    Example:
        >>> from delineate.nn.blocks import ConvBNAct
        >>> ConvBNAct(3, 16, stride=2)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 16, 16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        conv = DilatedConv2d if dilation > 1 else nn.Conv2d
        self.conv = conv(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=(kernel - 1) // 2 * dilation,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out_channels)
        if act:
            self.act = nn.ReLU(inplace=True)


class ChannelAttention(nn.Module):
    """Channel gate of CBAM (Woo et al., ECCV 2018): x · sigmoid(MLP(average pooled) + MLP(maximum pooled)).

    One shared MLP C → C/reduction → C of 1×1 convolutions without bias, ReLU between; at least `min_hidden` hidden units.
    B×C×H×W → the same shape. With a single hidden unit many gates are dead from the start: pooled values are rarely negative, so
    the unit's sign depends on its weights alone, and behind the ReLU a negative one has neither output nor gradient.
    """

    def __init__(self, channels: int, reduction: int = 16, *, min_hidden: int = 1) -> None:
        super().__init__()
        hidden = max(min_hidden, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        average, largest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * torch.sigmoid(self._mlp(average) + self._mlp(largest))

    def _mlp(self, pooled: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(pooled)))


class SpatialAttention(nn.Module):
    """Spatial gate of CBAM: x · sigmoid(conv k×k of the channels' mean and maximum). B×C×H×W → the same shape."""

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return x * torch.sigmoid(self.conv(pooled))


def resize(x: Tensor, size: tuple[int, int] | torch.Size, *, align_corners: bool = False) -> Tensor:
    """Bilinear B×C×h×w → B×C×size; returns `x` itself when it has that size already."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align_corners)


def resize_like(x: Tensor, reference: Tensor, *, align_corners: bool = False) -> Tensor:
    """Bilinear to the height and width of `reference`."""
    return resize(x, reference.shape[-2:], align_corners=align_corners)


def pad_to_multiple(image: Tensor, step: int) -> Tensor:
    """Repeat the lower and right edge until height and width of B×C×H×W are multiples of `step`."""
    height, width = image.shape[-2:]
    if not known(height, width):
        return _pad_any(image, step)
    if height % step == 0 and width % step == 0:
        return image
    return F.pad(image, (0, -width % step, 0, -height % step), mode="replicate")


def _pad_any(image: Tensor, step: int) -> Tensor:
    """The same in a graph, which is for all sizes: without a branch, and with sizes that can be told to be multiples."""
    for axis in (-2, -1):
        side = image.shape[axis]
        last = torch.full((), side, dtype=torch.int64, device=image.device) - 1
        index = torch.arange((side + step - 1) // step * step, device=image.device)
        image = image.index_select(axis, torch.minimum(index, last))
    return image


def known(*sizes: int) -> bool:
    """Whether sizes are numbers, which Python may compare and round, and not symbols of a graph that is for any size: what Python
    makes of those is fixed in the graph without a word."""
    return all(isinstance(size, int) for size in sizes)


def size_of(image: Tensor) -> tuple[int, int]:
    """Height and width of B×…×H×W."""
    return image.shape[-2], image.shape[-1]


def crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Take off what `pad_to_multiple` added: B×C×H×W → B×C×size."""
    height, width = size
    if not known(height, width):  # of a slice, the exporter would ask for a proof that it fits
        rows, columns = (torch.arange(side, device=x.device) for side in (height, width))
        return x.index_select(-2, rows).index_select(-1, columns)
    return x[..., :height, :width]


class UpSample(nn.Module):
    """One bilinear up-sampling by `factor`: B×C×H×W → B×C×factor·H×factor·W. For use inside `nn.Sequential`."""

    def __init__(self, factor: int = 2, *, align_corners: bool = False) -> None:
        super().__init__()
        self.factor = factor
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return resize(x, (height * self.factor, width * self.factor), align_corners=self.align_corners)
