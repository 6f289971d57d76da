"""A multi-scale boundary loss: prediction and reference are compared by the edges that a gradient extractor finds in them.

    L = Σ_i mean |G(avg_i(x)) − G(avg_i(y))|,   avg_i = average pooling i×i,

x predicted probabilities, y one-hot reference. Where the reference is to be ignored, and wherever an extractor's window
touches such a pixel, nothing is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Gradient = Literal["central", "sobel", "laplacian", "morphological"]
EPSILON = 1e-6
"""Under the root of a magnitude, where its derivative would be infinite."""


def boundary_loss(
    predicted: Tensor,
    reference: Tensor,
    valid: Tensor,
    *,
    gradient: Gradient = "central",
    scales: Sequence[int] = (1, 2, 4),
) -> Tensor:
    """Sum over `scales` of the mean absolute difference of edge maps; ≥ 0, differentiable in `predicted`.

    `predicted`, `reference`: B×K×H×W in [0, 1]; `valid`: bool B×H×W. Each image counts by the mean over its valid places (0
    without any), the batch by the mean over its images. Computed in float32. Scales larger than the image add nothing.
    """
    inside = valid[:, None]
    x, y = (torch.where(inside, maps.float(), 0.0) for maps in (predicted, reference))
    outside = (~inside).float()
    terms = [_difference(x, y, outside, EXTRACTORS[gradient], scale) for scale in scales]
    return torch.stack(terms).sum()


def edges(maps: Tensor, gradient: Gradient = "central") -> Tensor:
    """Edge strength of each channel: B×C×H×W → the same; the image's border makes no edge (replicated)."""
    return EXTRACTORS[gradient](maps)


def _difference(x: Tensor, y: Tensor, outside: Tensor, extract: Callable[[Tensor], Tensor], scale: int) -> Tensor:
    if scale > min(x.shape[-2:]):
        return x.sum() * 0
    if scale > 1:
        x, y = F.avg_pool2d(x, scale), F.avg_pool2d(y, scale)
        outside = F.max_pool2d(outside, scale)
    compared = 1 - F.max_pool2d(outside, 3, stride=1, padding=1)
    gap = (extract(x) - extract(y)).abs().mean(1, keepdim=True) * compared
    return (gap.flatten(1).sum(1) / compared.flatten(1).sum(1).clamp_min(1)).mean()


def _central(x: Tensor) -> Tensor:
    """√(gx² + gy² + ε) of central differences (−1, 0, 1): a step of height 1 gives 1 on both of its sides."""
    across, down = _framed(x, 3), _framed(x, 2)
    gx = across[..., 2:] - across[..., :-2]
    gy = down[..., 2:, :] - down[..., :-2, :]
    return torch.sqrt(gx.square() + gy.square() + EPSILON)


def _sobel(x: Tensor) -> Tensor:
    """The same with Sobel's smoothing across the difference, divided by 4: a straight step of height 1 gives 1."""
    across, down = _framed(x, 3), _framed(x, 2)
    gx = _smoothed(across[..., 2:] - across[..., :-2], 2)
    gy = _smoothed(down[..., 2:, :] - down[..., :-2, :], 3)
    return torch.sqrt(gx.square() + gy.square() + EPSILON)


def _laplacian(x: Tensor) -> Tensor:
    """Sum of the four neighbors − 4·center, signed: a straight step of height 1 gives 1 at its foot and −1 on top."""
    across, down = _framed(x, 3), _framed(x, 2)
    return across[..., 2:] + across[..., :-2] + down[..., 2:, :] + down[..., :-2, :] - 4 * x


def _morphological(x: Tensor) -> Tensor:
    """Maximum − minimum of each 3×3 neighborhood."""
    return F.max_pool2d(x, 3, stride=1, padding=1) + F.max_pool2d(-x, 3, stride=1, padding=1)


EXTRACTORS: dict[Gradient, Callable[[Tensor], Tensor]] = {
    "central": _central,
    "sobel": _sobel,
    "laplacian": _laplacian,
    "morphological": _morphological,
}


def _framed(x: Tensor, axis: int) -> Tensor:
    """Repeat the first and last row or column once; unlike `F.pad`, deterministic backwards on every device."""
    return torch.cat((x.narrow(axis, 0, 1), x, x.narrow(axis, x.shape[axis] - 1, 1)), axis)


def _smoothed(x: Tensor, axis: int) -> Tensor:
    """(1, 2, 1) / 4 along an axis, ends replicated."""
    framed, length = _framed(x, axis), x.shape[axis]
    first, last = framed.narrow(axis, 0, length), framed.narrow(axis, 2, length)
    return (first + 2 * x + last) / 4
