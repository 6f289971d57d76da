"""Prototypes: the features of a masked region as one vector, and the similarity of pixels to it.

Shapes, shared by all functions: `features` B×C×h×w with a mask or weights B×h×w; or, of several images whose pixels are
pooled as if they were one (the shots of an episode), B×K×C×h×w with B×K×h×w. Results are float32, also under autocast, since
cosines of rectified features lie close together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.precision import without_autocast

__all__ = [
    "NORM_EPS",
    "channel_max",
    "cosine_scores",
    "mean_prototype",
    "peak_location",
    "prior_map",
    "resize_mask",
    "top_k_mean",
    "upsampling_weights",
]

_POOL_EPS = 1e-5
"""Added to the sum of weights (PANet, ALPNet): an empty mask gives the zero vector."""
NORM_EPS = 1e-4
"""Smallest norm that a vector is divided by (ALPNet)."""
_PRIOR_EPS = 1e-7
"""Added to the range of a prior map (PFENet)."""
_BILLION = 10**9


def resize_mask(mask: Tensor, size: tuple[int, int] | torch.Size, *, label: int = 1, soft: bool = True) -> Tensor:
    """Where `mask` equals `label`, on the grid of a feature map: long B×K×H×W → float B×K×h×w in [0, 1].

    Bilinear at the new pixels' centers; `soft=False` rounds it to 0 or 1. The background is `label=0`: ignored pixels (255)
    belong to neither, so that the two need not sum to 1.
    """
    inside = F.interpolate((mask == label).float(), size=tuple(size), mode="bilinear", align_corners=False)
    return inside if soft else (inside > 0.5).float()


def upsampling_weights(weights: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Weights B×…×H×W → B×…×h×w that pool features of the size h×w as `weights` would pool them after bilinear up-sampling.

    Σ_x weights(x)·up(features)(x) = Σ_y result(y)·features(y) exactly, since up-sampling is linear: this is its adjoint,
    Uᵀ·weights·U, which costs two small matrix products instead of features at the size of the image.
    """
    with without_autocast(weights.device.type):
        rows, columns = (
            F.interpolate(torch.eye(small, device=weights.device)[None], size=large, mode="linear")[0]
            for small, large in zip(size, weights.shape[-2:], strict=True)
        )
        return rows @ weights.float() @ columns.T


def mean_prototype(features: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over pixels, Σ w·f / (Σ w + 1e-5): B×C. An empty mask gives 0.

    Masked average pooling of Zhang et al. (SG-One, 2018) and Wang et al. (PANet, ICCV 2019, eq. 1), with soft weights ≥ 0.
    """
    with without_autocast(features.device.type):
        pixels, flat = _pixels(features, weights)
        return torch.einsum("bcn,bn->bc", pixels, flat) / (flat.sum(1, keepdim=True) + _POOL_EPS)


def channel_max(features: Tensor, mask: Tensor) -> Tensor:
    """The largest value of each channel where mask > ½: B×C. Where no pixel is above ½, those of the mask's largest value count."""
    pixels, flat = _pixels(features, mask)
    return pixels.masked_fill(~_inside(flat)[:, None], -math.inf).amax(2)


def top_k_mean(features: Tensor, mask: Tensor, share: float = 0.1) -> Tensor:
    """Mean of the k largest values of each channel where mask > ½, k = max(1, ⌈share · pixels there⌉): B×C.

    A share of 0 is `channel_max`, a share of 1 the mean over the hard mask. An empty mask is treated as in `channel_max`. As many
    values are sorted as the whole map could need, so that nothing depends on the mask but weights: no wait for a GPU, and a graph.
    """
    pixels, flat = _pixels(features, mask)
    inside = _inside(flat)
    # In whole numbers: .1·30 = 3.0000000000000004 must not count as 4, and graphs round factors to single precision.
    billionths = int(share * _BILLION + 1e-6)
    count = ((inside.sum(1) * billionths + _BILLION - 1) // _BILLION).clamp_min(1)
    shots, each = features.shape[1] if features.ndim == 5 else 1, features.shape[-2] * features.shape[-1]
    most = shots * max(1, math.ceil(share * each))
    largest = pixels.masked_fill(~inside[:, None], -math.inf).topk(most, dim=2).values
    is_counted = torch.arange(most, device=count.device) < count[:, None]
    return torch.where(is_counted[:, None], largest, 0.0).sum(2) / count[:, None].float()


def peak_location(features: Tensor, mask: Tensor, response: Tensor | None = None) -> Tensor:
    """The feature vector at the pixel of the largest response where mask > ½: B×C.

    `response`: of the mask's shape; by default the features' Euclidean norm. An empty mask is treated as in `channel_max`.
    """
    pixels, flat = _pixels(features, mask)
    strength = pixels.norm(dim=1) if response is None else response.flatten(1).float()
    index = strength.masked_fill(~_inside(flat), -math.inf).argmax(1)
    return pixels.take_along_dim(index[:, None, None], 2).squeeze(2)


def prior_map(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """Similarity of each query pixel to the support's foreground: its largest cosine with any support pixel where mask > ½,
    scaled to [0, 1] over the query, B×C×h×w → B×1×h×w (Tian et al., PFENet, TPAMI 2020, eqs. 3-5).

    Shapes of `support` and `mask` as in all functions here; several shots count as one set of pixels. An empty mask is treated as
    in `channel_max`. A query without any contrast gives 0. Takes memory for one number per pair of pixels.
    """
    with without_autocast(query.device.type):
        pixels, flat = _pixels(support, mask)
        query_directions = F.normalize(query.float().flatten(2), dim=1, eps=NORM_EPS)
        cosines = F.normalize(pixels, dim=1, eps=NORM_EPS).transpose(1, 2) @ query_directions
        best = cosines.masked_fill(~_inside(flat)[:, :, None], -math.inf).amax(1)
        low, high = best.amin(1, keepdim=True), best.amax(1, keepdim=True)
        return ((best - low) / (high - low + _PRIOR_EPS)).view(query.shape[0], 1, *query.shape[2:])


def cosine_scores(features: Tensor, prototypes: Tensor, scale: float = 20.0) -> Tensor:
    """`scale` · cosine of every pixel with every prototype: B×C×h×w and B×P×C → B×P×h×w.

    Either B may be 1: then it serves all of the other's. Norms below 1e-4 count as 1e-4, so a zero vector scores 0.
    """
    with without_autocast(features.device.type):
        pixels = F.normalize(features.float().flatten(2), dim=1, eps=NORM_EPS)
        directions = F.normalize(prototypes.float(), dim=2, eps=NORM_EPS)
        cosines = directions @ pixels
        return scale * cosines.view(*cosines.shape[:2], *features.shape[2:])


def _pixels(features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """All pixels of all shots in a row, float32: B×C×N and B×N."""
    if features.ndim == 5:
        features = features.transpose(1, 2)
    return features.float().flatten(2), mask.float().flatten(1)


def _inside(flat: Tensor) -> Tensor:
    """Where a soft mask B×N is above ½, and where none is, its largest value."""
    hard = flat > 0.5
    # No `where`: runtimes of ONNX have none for booleans.
    return hard | (~hard.any(1, keepdim=True) & (flat == flat.amax(1, keepdim=True)))
