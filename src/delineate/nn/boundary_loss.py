"""Multi-scale boundary loss: prediction and reference are compared by their edges, which a gradient filter finds.

    L = Σ_i mean |G(avg_i(x)) − G(avg_i(y))|,   avg_i = average pooling i×i,

x predicted probabilities, y one-hot reference. Nothing is compared at pixels to be ignored, nor where the filter's 3×3 window
touches one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Gradient", "boundary_loss", "edges"]

Gradient = Literal["central", "sobel", "laplacian", "morphological"]
"""How edges are found: central differences, Sobel, Laplacian (signed), or maximum − minimum of a 3×3 neighborhood."""
_EPSILON = 1e-6
"""Under the root of a magnitude: at 0 the derivative of the root would be infinite."""


def boundary_loss(
    predicted: Tensor,
    reference: Tensor,
    valid: Tensor,
    *,
    gradient: Gradient = "central",
    scales: Sequence[int] = (1, 2, 4),
) -> Tensor:
    """Sum over `scales` of the mean absolute difference of edge maps, differentiable in `predicted`.

    Each image counts by the mean over its valid pixels (0 without any), the batch by the mean over its images. Computed in
    float32.

    Args:
        predicted: Probabilities B×K×H×W in [0, 1].
        reference: One-hot masks B×K×H×W.
        valid: Bool B×H×W; false = ignore.
        gradient: How edges are found: "central", "sobel", "laplacian" or "morphological".
        scales: Sides of the average pools at which edges are compared, in pixels. Those larger than the image add nothing.

    Returns:
        A scalar, at least 0.

    Example:
        >>> from delineate.nn.boundary_loss import boundary_loss
        >>> square = torch.zeros(1, 1, 16, 16)
        >>> square[..., 4:12, 4:12] = 1
        >>> valid = torch.ones(1, 16, 16, dtype=torch.bool)
        >>> float(boundary_loss(square, square, valid))
        0.0
        >>> float(boundary_loss(torch.zeros_like(square), square, valid)) > 0
        True
    """
    inside = valid[:, None]
    x, y = (torch.where(inside, maps.float(), 0.0) for maps in (predicted, reference))
    ignored = (~inside).float()
    terms = [_edge_difference(x, y, ignored, _FILTERS[gradient], scale) for scale in scales]
    return torch.stack(terms).sum()


def edges(maps: Tensor, gradient: Gradient = "central") -> Tensor:
    """Edge strength of each channel. The border of the image makes no edge: its pixels are repeated beyond it.

    Args:
        maps: B×C×H×W.
        gradient: As for `boundary_loss`.

    Returns:
        The same shape; at least 0, except for "laplacian", which has a sign.

    Example:
        >>> from delineate.nn.boundary_loss import edges
        >>> float(edges(torch.ones(1, 1, 4, 4), "sobel").max())
        0.001...
    """
    return _FILTERS[gradient](maps)


def _edge_difference(x: Tensor, y: Tensor, ignored: Tensor, find: Callable[[Tensor], Tensor], scale: int) -> Tensor:
    if scale > min(x.shape[-2:]):
        return x.sum() * 0
    if scale > 1:
        x, y = F.avg_pool2d(x, scale), F.avg_pool2d(y, scale)
        ignored = F.max_pool2d(ignored, scale)
    compared = 1 - F.max_pool2d(ignored, 3, stride=1, padding=1)
    difference = (find(x) - find(y)).abs().mean(1, keepdim=True) * compared
    return (difference.flatten(1).sum(1) / compared.flatten(1).sum(1).clamp_min(1)).mean()


def _central(x: Tensor) -> Tensor:
    """√(gx² + gy² + ε) of central differences (−1, 0, 1): a step of height 1 gives 1 on both of its sides."""
    across, down = _repeat_border(x, 3), _repeat_border(x, 2)
    gx = across[..., 2:] - across[..., :-2]
    gy = down[..., 2:, :] - down[..., :-2, :]
    return torch.sqrt(gx.square() + gy.square() + _EPSILON)


def _sobel(x: Tensor) -> Tensor:
    """The same with Sobel's smoothing across the difference, divided by 4: a straight step of height 1 gives 1."""
    across, down = _repeat_border(x, 3), _repeat_border(x, 2)
    gx = _smoothed(across[..., 2:] - across[..., :-2], 2)
    gy = _smoothed(down[..., 2:, :] - down[..., :-2, :], 3)
    return torch.sqrt(gx.square() + gy.square() + _EPSILON)


def _laplacian(x: Tensor) -> Tensor:
    """Sum of the four neighbors − 4·center, signed: a straight step of height 1 gives 1 at its foot and −1 on top."""
    across, down = _repeat_border(x, 3), _repeat_border(x, 2)
    return across[..., 2:] + across[..., :-2] + down[..., 2:, :] + down[..., :-2, :] - 4 * x


def _morphological(x: Tensor) -> Tensor:
    """Maximum − minimum of each 3×3 neighborhood."""
    return F.max_pool2d(x, 3, stride=1, padding=1) + F.max_pool2d(-x, 3, stride=1, padding=1)


_FILTERS: dict[Gradient, Callable[[Tensor], Tensor]] = {
    "central": _central,
    "sobel": _sobel,
    "laplacian": _laplacian,
    "morphological": _morphological,
}


def _repeat_border(x: Tensor, axis: int) -> Tensor:
    """Repeat the first and last row or column once. Unlike that of `F.pad`, its backward pass is deterministic on every device."""
    return torch.cat((x.narrow(axis, 0, 1), x, x.narrow(axis, x.shape[axis] - 1, 1)), axis)


def _smoothed(x: Tensor, axis: int) -> Tensor:
    """(1, 2, 1) / 4 along an axis, ends repeated."""
    padded, length = _repeat_border(x, axis), x.shape[axis]
    first, last = padded.narrow(axis, 0, length), padded.narrow(axis, 2, length)
    return (first + 2 * x + last) / 4
