"""Aggregation of overlapping attention windows, in its exact 25-offset form.

Every pixel p attends, per head, within its own 3×3 window: a 9×9 matrix A (softmax over the source positions) multiplies
the window's nine values, the nine results are added to the window's positions, where overlapping results are summed
(unfold → product → fold; Yuan et al., VOLO, TPAMI 2022; used by ConDSeg, arXiv 2412.08345). All three steps are linear in
the values, so together they are one 5×5 kernel per pixel q and head,

    K_d[q] = Σ_{j−k=d} A[k, j](q−k),        y[q] = Σ_d K_d[q] · v[q+d],

nine additions of slices to build, 25 multiply-adds to apply, and nothing of the size of an unfolded map in memory. Values
outside the image are 0, and no windows are centered there.

Memory order: maps inside here are *planar*, C×B×H×W in memory (seen as B×C×H×W), so that every step runs along pixels;
matrix products change between planar and channels-last at no cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.precision import autocast_dtype, without_autocast

__all__ = ["WindowAggregation", "attention_rows", "pixel_linear", "planar_linear", "window_aggregate"]

_WINDOW = 3
_POSITIONS = _WINDOW * _WINDOW
_KERNEL = 2 * _WINDOW - 1
_MARGIN = _WINDOW - 1
_PIXELS_AT_ONCE = {"cpu": 1 << 14}
"""Images go through the operator in groups of about this many pixels, so that its temporaries stay small."""
_PIXELS_ELSEWHERE = 1 << 20
_COLUMNS_AT_ONCE = 1 << 11
"""On a CPU the attention is computed in blocks of rows of about this many pixels: few enough to stay in the cache, many enough for
one fast matrix product."""


class WindowAggregation(nn.Module):
    """Window attention: mix `value` within overlapping 3×3 windows, by attention that is predicted from `guide` alone.

    `forward(value, guide)`: B×C×H×W and B×G×H×W → B×C×H×W (planar). Differentiable in both and in the weights.
    The logits' linear layer (G → 81·heads) has its rows in the order (output position, source position, head), positions
    row-major; `attention_rows` converts from head-slowest order. Logits are scaled by (C/heads)^−½.
    """

    def __init__(self, channels: int, guide_channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be divided among {heads} heads")
        self.heads = heads
        self.logits = nn.Linear(guide_channels, _POSITIONS * _POSITIONS * heads)

    def forward(self, value: Tensor, guide: Tensor) -> Tensor:
        return window_aggregate(value, guide, self.logits.weight, self.logits.bias, self.heads)


def attention_rows(heads: int) -> Tensor:
    """Index that takes rows in the order (head, output position, source position) to (output, source, head)."""
    return torch.arange(heads * _POSITIONS * _POSITIONS).view(heads, -1).T.flatten()


def window_aggregate(value: Tensor, guide: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
    """The operator of `WindowAggregation` with weight 81·heads×G and bias 81·heads.

    Only `value` and `guide` are kept for the backward pass, where the attention is computed anew. The sums over offsets
    are in float32 at least, whatever the dtype. Without gradients (inference, export) it is plain tensor operations.
    """
    dtype = autocast_dtype(value.device.type)
    if dtype is not None:
        value, guide, weight, bias = value.to(dtype), guide.to(dtype), weight.to(dtype), bias.to(dtype)
    with without_autocast(value.device.type):
        if torch.is_grad_enabled() and any(x.requires_grad for x in (value, guide, weight, bias)):
            return _Aggregate.apply(value, guide, weight, bias, heads)
        return _forward(value, guide, weight, bias, heads)


def planar_linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """A linear layer per pixel: B×C×H×W in any memory order → B×D×H×W, planar.

    In bfloat16 image by image, as `pixel_linear` always: oneDNN's AMX kernels crash on some products over 65536 pixels.
    """
    batch, channels, height, width = x.shape
    assert layer.bias is not None
    if autocast_dtype(x.device.type) == torch.bfloat16:
        weight, bias = layer.weight.expand(batch, -1, -1), layer.bias[:, None].expand(batch, -1, 1)
        return torch.baddbmm(bias, weight, x.flatten(2)).view(batch, -1, height, width)
    result = torch.addmm(layer.bias[:, None], layer.weight, x.transpose(0, 1).reshape(channels, -1))
    return result.view(-1, batch, height, width).transpose(0, 1)


def pixel_linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """The same, with a channels-last result."""
    batch, _, height, width = x.shape
    assert layer.bias is not None
    pixels = x.flatten(2).transpose(1, 2)
    result = torch.baddbmm(layer.bias.expand(batch, 1, -1), pixels, layer.weight.T.expand(batch, -1, -1))
    return result.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _forward(value: Tensor, guide: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
    if torch.compiler.is_exporting():
        return _in_windows(value, guide, weight, bias, heads)
    if torch.compiler.is_compiling():
        return _aggregate(value, guide, weight, bias, heads)
    parts = [_aggregate(value[part], guide[part], weight, bias, heads) for part in _image_groups(value)]
    return parts[0] if len(parts) == 1 else torch.cat([part.transpose(0, 1) for part in parts], 1).transpose(0, 1)


def _in_windows(value: Tensor, guide: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
    """The operator as it is defined (unfold, product, fold), for graphs that leave Python: additions to parts of a map, of which
    the other form has hundreds, are a copy of the whole map each in ONNX. All inside is channels-last.

    Holds 9 times `value`, twice.
    """
    batch, _, height, width = value.shape
    scale, order = _scale(value, heads), torch.arange(len(bias)).view(-1, heads).T.flatten()  # heads slowest
    logits = guide.permute(0, 2, 3, 1) @ (scale * weight)[order].T + (scale * bias)[order]
    attention = logits.view(batch, height, width, heads, _POSITIONS, _POSITIONS).softmax(-1)
    padded = F.pad(value.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    offsets = [divmod(position, _WINDOW) for position in range(_POSITIONS)]
    sources = torch.stack([padded[:, y : y + height, x : x + width] for y, x in offsets], 3)
    sources = sources.view(batch, height, width, _POSITIONS, heads, -1).transpose(3, 4)
    results = (attention @ sources).transpose(3, 4).flatten(4)  # B×H×W×9×C
    # Each window's results go to its positions: position (0, 0) is one pixel above and to the left of its center.
    moved = [F.pad(results[:, :, :, at], (0, 0, x, 2 - x, y, 2 - y)) for at, (y, x) in enumerate(offsets)]
    total = torch.stack(moved).sum(0)[:, 1 : height + 1, 1 : width + 1]
    return total.to(value.dtype).permute(0, 3, 1, 2)


def _image_groups(x: Tensor) -> list[slice]:
    limit = _PIXELS_AT_ONCE.get(x.device.type, _PIXELS_ELSEWHERE)
    step = max(1, limit // (x.shape[2] * x.shape[3]))
    return [slice(start, start + step) for start in range(0, x.shape[0], step)]


def _aggregate(value: Tensor, guide: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
    scale = _scale(value, heads)
    kernels = _kernels(_attention(guide, scale * weight, scale * bias, heads), guide, heads)
    return _apply(kernels, _planes(value, heads)).to(value.dtype).flatten(0, 1).transpose(0, 1)


def _scale(value: Tensor, heads: int) -> float:
    return (value.shape[1] // heads) ** -0.5


class _Block(NamedTuple):
    """Some rows of a map: what the attention of their pixels is predicted from, and the attention."""

    rows: slice
    columns: Tensor
    """C×(B·h·W)."""
    attention: Tensor
    """9 (output position) × 3×3 (source position) × heads × B×h×W, in float32 or wider."""


def _attention(guide: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Iterator[_Block]:
    """A, one block of rows after another."""
    for rows in _row_blocks(guide):
        part = guide[:, :, rows]
        columns = part.transpose(0, 1).reshape(guide.shape[1], -1)
        logits = torch.addmm(bias[:, None], weight, columns).view(_POSITIONS, _POSITIONS, -1)
        attention = logits.softmax(1, dtype=_accumulation_dtype(logits))
        size = (heads, part.shape[0], *part.shape[2:])
        yield _Block(rows, columns, attention.view(_POSITIONS, _WINDOW, _WINDOW, *size))


def _row_blocks(x: Tensor) -> list[slice]:
    batch, _, height, width = x.shape
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return [slice(0, height)]
    step = max(1, _COLUMNS_AT_ONCE // (batch * width))
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def _accumulation_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _planes(x: Tensor, heads: int) -> Tensor:
    """B×C×H×W → heads × C/heads × B×H×W, in float32 or wider."""
    batch, channels, height, width = x.shape
    return x.transpose(0, 1).to(_accumulation_dtype(x)).reshape(heads, channels // heads, batch, height, width)


def _kernels(blocks: Iterable[_Block], guide: Tensor, heads: int) -> Tensor:
    """A → K as 5×5 × heads × B×H×W."""
    batch, _, height, width = guide.shape
    size = (_KERNEL, _KERNEL, heads, batch, height + _MARGIN, width + _MARGIN)
    kernels = guide.new_zeros(size, dtype=_accumulation_dtype(guide))
    for block in blocks:
        for k, part in enumerate(block.attention):
            _source_offsets(kernels, k, block.rows, width).add_(part)
    return kernels[..., 1 : height + 1, 1 : width + 1]


def _source_offsets(kernels: Tensor, k: int, rows: slice, width: int) -> Tensor:
    """The part of the (padded) kernels that output position k of the windows in these rows adds to: 3×3 × heads × B×h×W."""
    y, x = divmod(k, _WINDOW)
    offsets = kernels[_MARGIN - y : _KERNEL - y, _MARGIN - x : _KERNEL - x]
    return offsets[..., rows.start + y : rows.stop + y, x : x + width]


def _apply(kernels: Tensor, planes: Tensor) -> Tensor:
    """y = Σ_d K_d · v shifted by d."""
    height, width = planes.shape[-2:]
    padded = F.pad(planes, (_MARGIN,) * 4)
    result = torch.zeros_like(planes, memory_format=torch.contiguous_format)
    for heads in _head_groups(planes):
        for y in range(_KERNEL):
            for x in range(_KERNEL):
                shifted = padded[heads, ..., y : y + height, x : x + width]
                result[heads].addcmul_(kernels[y, x, heads, None], shifted)
    return result


def _head_groups(planes: Tensor) -> list[slice]:
    """On a CPU one head at a time, which stays in the cache; elsewhere, and in a graph to export, all at once."""
    heads = planes.shape[0]
    if planes.device.type != "cpu" or torch.compiler.is_compiling():
        return [slice(0, heads)]
    return [slice(head, head + 1) for head in range(heads)]


class _Aggregate(torch.autograd.Function):
    """`_forward` with a backward pass of the same form, which keeps the inputs alone."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, guide: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
        ctx.save_for_backward(value, guide, weight, bias)
        ctx.heads = heads
        return _forward(value, guide, weight, bias, heads)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        value, guide, weight, bias = ctx.saved_tensors
        with without_autocast(value.device.type):
            return (*_backward(gradient, value, guide, weight, bias, ctx.heads), None)


def _backward(
    gradient: Tensor, value: Tensor, guide: Tensor, weight: Tensor, bias: Tensor, heads: int
) -> tuple[Tensor, ...]:
    batch, features, height, width = guide.shape
    d_value, d_guide = torch.empty_like(value), guide.new_empty(batch, height, width, features)
    d_weight, d_bias = torch.zeros_like(weight), torch.zeros_like(bias)
    scale = _scale(value, heads)
    scaled_weight, scaled_bias = scale * weight, scale * bias
    for part in _image_groups(value):
        blocks = list(_attention(guide[part], scaled_weight, scaled_bias, heads))
        kernels = _kernels(blocks, guide[part], heads)
        d_planes, d_kernels = _apply_backward(kernels, _planes(value[part], heads), _planes(gradient[part], heads))
        d_value[part] = d_planes.flatten(0, 1).transpose(0, 1)
        for rows, columns, attention in blocks:
            d_logits = _attention_backward(attention, d_kernels, rows).to(weight.dtype)
            d_rows = d_guide[part, rows]
            d_rows.copy_((d_logits.T @ scaled_weight).view(d_rows.shape))
            d_weight.addmm_(d_logits, columns.T, alpha=scale)
            d_bias.add_(d_logits.sum(1), alpha=scale)
    return d_value, d_guide.permute(0, 3, 1, 2), d_weight, d_bias


def _apply_backward(kernels: Tensor, planes: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `_apply` in the planes and in the kernels (these padded by one pixel of zeros)."""
    height, width = planes.shape[-2:]
    padded = F.pad(planes, (_MARGIN,) * 4)
    d_padded = torch.zeros_like(padded)
    d_kernels = F.pad(torch.empty_like(kernels, memory_format=torch.contiguous_format), (1,) * 4)
    for heads in _head_groups(planes):
        for y in range(_KERNEL):
            for x in range(_KERNEL):
                window = (heads, ..., slice(y, y + height), slice(x, x + width))
                d_padded[window].addcmul_(kernels[y, x, heads, None], gradient[heads])
                d_kernels[y, x, heads, :, 1:-1, 1:-1] = (gradient[heads] * padded[window]).sum(1)
    return d_padded[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN], d_kernels


def _attention_backward(attention: Tensor, d_kernels: Tensor, rows: slice) -> Tensor:
    """Gradient in the scaled logits of a block: through the slice-additions, then the softmax. 81·heads × B·h·W."""
    width = attention.shape[-1]
    gradient = torch.stack([_source_offsets(d_kernels, k, rows, width) for k in range(_POSITIONS)])
    gradient *= attention
    total = gradient.sum((1, 2), keepdim=True)
    gradient.addcmul_(attention, total, value=-1)
    return gradient.view(_POSITIONS * _POSITIONS * attention.shape[3], -1)
