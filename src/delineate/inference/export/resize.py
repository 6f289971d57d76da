"""OpenCV's `resize` as tensor operations whose sizes may be known only when they run: pixel for pixel what OpenCV gives.

No branch and no index depends on a size: all ways are computed, and the sizes, as tensors, choose one of them.

* Where no axis grows (INTER_AREA): a product with one matrix of overlaps for each axis. Overlaps are whole numbers in units of
  1/new of a source pixel, so that sums of whole pixels are exact. Halving both axes rounds halves up, as OpenCV's fast path does.
* Where no axis shrinks (INTER_LINEAR), and where one shrinks and the other grows (INTER_AREA again, which is then linear between
  other places): two rows and two columns for each pixel, in single precision; bytes in OpenCV's fixed point with 11 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Placed", "Values", "into_frame", "labels_into_frame", "out_of_frame", "scalar"]

Values = Literal["bytes", "whole", "floats"]
"""What pixels are: 0 … 255, other whole numbers, or any numbers."""
_UNITS = 2048
"""Of OpenCV's weights for bytes."""
_FIXED = 65536
"""Of OpenCV's places for labels."""
_FAST = (1, 3, 4)
"""Numbers of channels that OpenCV's fast path for halving takes."""
_AT_ONCE = 4
"""Channels that `InputSpec` gives OpenCV at a time."""


@dataclass(frozen=True)
class Placed:
    """An image in a frame: along each axis (rows, columns) its own size, its size in the frame, and where it starts there."""

    old: tuple[Tensor, Tensor]
    """Int64, one number each, as are the others."""
    new: tuple[Tensor, Tensor]
    start: tuple[Tensor, Tensor]
    frame: tuple[int, int]
    """Height and width of the whole."""

    def places(self, axis: int) -> Tensor:
        """Int64, of each row or column of the frame: which one of the resized image it is, the outermost beyond it."""
        index = torch.arange(self.frame[axis], device=self.new[axis].device) - self.start[axis]
        return torch.minimum(index.clamp(min=0), self.new[axis] - 1)

    @property
    def inside(self) -> Tensor:
        """Bool frame: where the image lies."""
        rows, columns = (
            (index >= start) & (index < start + new)
            for index, start, new in zip(
                (torch.arange(length, device=self.new[0].device) for length in self.frame),
                self.start,
                self.new,
                strict=True,
            )
        )
        return rows[:, None] & columns


@dataclass(frozen=True)
class _Axis:
    """One axis of a resize: of n target pixels, which source pixels they are made of."""

    targets: Tensor
    """Int64 n, from 0."""
    old: Tensor
    """Int64, one number, as is `new`."""
    new: Tensor

    def overlaps(self, length: int) -> Tensor:
        """Float32 n×length: how much of each source pixel is in each target pixel's area."""
        start, pixel = self.targets[:, None] * self.old, torch.arange(length, device=self.old.device) * self.new
        shared = torch.minimum(start + self.old, pixel + self.new) - torch.maximum(start, pixel)
        return shared.clamp(min=0).float() / self.new.float()

    def taps(self, mixed: Tensor, *, columns: bool) -> tuple[Tensor, Tensor, Tensor]:
        """First and second source pixel, int64 n, and the second's weight, float32 n. In double precision where OpenCV is, whose
        rounding decides between pixels."""
        growth, target = self.new.double() / self.old.double(), self.targets.double()
        step = 1 / growth
        linear = ((target + 0.5) * step - 0.5).float()
        corner = (target * step).floor()
        past = ((target + 1) - (corner + 1) * growth).float()
        first = torch.where(mixed, corner, linear.floor().double()).long()
        weight = torch.where(
            mixed, torch.where(past <= 0, torch.zeros_like(past), past - past.floor()), linear - linear.floor()
        )
        if columns:  # OpenCV lets rows beyond the edge be mixed with themselves
            weight = torch.where((first < 0) | (first >= self.old - 1), torch.zeros_like(weight), weight)
            first = first.clamp(min=0)
        second = torch.minimum((first + 1).clamp(min=0), self.old - 1)
        return torch.minimum(first.clamp(min=0), self.old - 1), second, weight


def scalar(size: int | Tensor, like: Tensor) -> Tensor:
    """A size as an int64 tensor of one number, also where it is a symbol of a graph."""
    return size if isinstance(size, Tensor) else torch.full((), size, dtype=torch.int64, device=like.device)


def into_frame(image: Tensor, place: Placed, values: Values) -> Tensor:
    """Float32 B×C×H×W → B×C×frame, as `InputSpec` asks OpenCV to; beyond the image its edge is repeated."""
    parts = [_into_frame(part, place, values) for part in torch.split(image, _AT_ONCE, 1)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def labels_into_frame(labels: Tensor, place: Placed, outside: int) -> Tensor:
    """Whole numbers B×H×W → B×frame by nearest neighbor, as `InputSpec.working_mask`; `outside`: what lies beyond the image."""
    for axis, dimension in enumerate((-2, -1)):
        old, new = place.old[axis], place.new[axis]
        step = (old * _FIXED + new // 2) // new
        taken = (place.places(axis) * step + step // 2 - old % 2).clamp(min=0) // _FIXED
        labels = labels.index_select(dimension, torch.minimum(taken, old - 1))
    return torch.where(place.inside, labels, torch.full_like(labels, outside))


def out_of_frame(maps: Tensor, place: Placed, size: tuple[int, int]) -> Tensor:
    """Float32 B×K×frame → B×K×size without the frame's padding, as `Predictor.to_native`: by area where both axes shrink, else
    linear."""
    device = maps.device
    shrinks = (place.old[0] < place.new[0]) & (place.old[1] < place.new[1])
    mixed = torch.zeros_like(shrinks)
    axes = [
        _Axis(torch.arange(length, device=device), new, old)
        for length, new, old in zip(size, place.new, place.old, strict=True)
    ]
    linear = _linear(maps, axes, mixed, "floats", place.start)
    # Where it shrinks, it fits into the frame: so much is made by area, however large the image is.
    small = [
        _Axis(torch.arange(length, device=device), new, old)
        for length, new, old in zip(place.frame, place.new, place.old, strict=True)
    ]
    inner = maps
    for axis, dimension in enumerate((-2, -1)):
        last = place.frame[axis] - 1
        index = (torch.arange(place.frame[axis], device=device) + place.start[axis]).clamp(max=last)
        inner = inner.index_select(dimension, index)
    by_area = _by_area(inner, small)
    for axis, dimension in enumerate((-2, -1)):
        index = torch.arange(size[axis], device=device).clamp(max=place.frame[axis] - 1)
        by_area = by_area.index_select(dimension, index)
    return torch.where(shrinks, by_area, linear)


def _into_frame(image: Tensor, place: Placed, values: Values) -> Tensor:
    shrinks = (place.new[0] < place.old[0]) | (place.new[1] < place.old[1])
    grows = (place.new[0] > place.old[0]) | (place.new[1] > place.old[1])
    axes = [_Axis(place.places(axis), place.old[axis], place.new[axis]) for axis in (0, 1)]
    linear = _linear(image, axes, shrinks & grows, values)
    area = _by_area(image, axes)
    if values != "floats":
        halved = (place.old[0] == 2 * place.new[0]) & (place.old[1] == 2 * place.new[1]) & (image.shape[1] in _FAST)
        area = torch.where(halved, (area + 0.5).floor(), area.round())
        linear = linear.round()
    return torch.where(shrinks & ~grows, area, linear)


def _by_area(image: Tensor, axes: list[_Axis]) -> Tensor:
    rows, columns = (axis.overlaps(length) for axis, length in zip(axes, image.shape[-2:], strict=True))
    area = (axes[0].old * axes[1].old).float() / (axes[0].new * axes[1].new).float()
    return (rows @ image @ columns.T) * (1 / area)


def _linear(
    image: Tensor, axes: list[_Axis], mixed: Tensor, values: Values, start: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """`start`: of the image inside of the maps that are given."""
    (top, below, down), (left, right, across) = axes[0].taps(mixed, columns=False), axes[1].taps(mixed, columns=True)
    if start is not None:
        top, below, left, right = top + start[0], below + start[0], left + start[1], right + start[1]
    if values != "bytes":
        wide = image.index_select(-1, left) * (1 - across) + image.index_select(-1, right) * across
        return wide.index_select(-2, top) * (1 - down[:, None]) + wide.index_select(-2, below) * down[:, None]
    whole = image.to(torch.int32)
    first, second = _units(1 - across), _units(across)
    wide = whole.index_select(-1, left) * first + whole.index_select(-1, right) * second
    upper, lower = _units(1 - down)[:, None], _units(down)[:, None]
    # Nothing is negative, so that all runtimes divide alike.
    above = upper * (wide.index_select(-2, top) // 16) // 65536
    beneath = lower * (wide.index_select(-2, below) // 16) // 65536
    return ((above + beneath + 2) // 4).float()


def _units(weight: Tensor) -> Tensor:
    return (weight * _UNITS).round().to(torch.int32)
