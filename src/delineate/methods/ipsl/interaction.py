"""Interactive prototype learning: prototypes of support and query, their exchange by attention, and the contrast between classes.

Prototypes of one kind are held as B×2×C, background first. `support` and `query` are treated alike, so that exchanging the two
changes nothing.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.cross_attention import CrossAttention
from delineate.nn.prototypes import (
    NORM_EPS,
    channel_max,
    mean_prototype,
    peak_location,
    top_k_mean,
)

__all__ = [
    "INIT_STD",
    "Interaction",
    "PeakKind",
    "confident",
    "contrast",
    "mean_prototypes",
    "nearest_scores",
    "peak_prototypes",
    "unit",
]

PeakKind = Literal["top_k", "channel_max", "location", "dense", "none"]
INIT_STD = 0.01
"""Standard deviation of the first weights of the last layer of a residual branch: the branch starts near 0."""


def unit(x: Tensor, dim: int) -> Tensor:
    """Vectors of length 1 along `dim`; shorter than 1e-4 they are divided by that, so 0 stays 0."""
    return F.normalize(x, dim=dim, eps=NORM_EPS)


def mean_prototypes(features: Tensor, weights: Tensor) -> Tensor:
    """B×(K×)C×h×w and weights of both classes B×2×(K×)h×w → B×2×C."""
    return torch.stack([mean_prototype(features, class_weights) for class_weights in weights.unbind(1)], 1)


def peak_prototypes(features: Tensor, masks: Tensor, kind: PeakKind, share: float) -> Tensor:
    """As `mean_prototypes`, of pixels where a mask is above ½ (where none is: where it is largest).

    `channel_max`: each channel's maximum. `top_k`: mean of each channel's highest `share`. `location`: the vector at the
    strongest pixel. `dense`: all pixels are kept (see `nearest_scores`); the vector is the mean of their directions.
    """
    return torch.stack([_peak(features, mask, kind, share) for mask in masks.unbind(1)], 1)


def _peak(features: Tensor, mask: Tensor, kind: PeakKind, share: float) -> Tensor:
    if kind == "channel_max":
        return channel_max(features, mask)
    if kind == "location":
        return peak_location(features, mask)
    if kind == "dense":
        return mean_prototype(unit(features, -3), (mask > 0.5).float())
    return top_k_mean(features, mask, share)


def nearest_scores(query: Tensor, support: Tensor, masks: Tensor, scale: float) -> Tensor:
    """`scale` · the largest cosine with any support pixel of each class (mask above ½): B×C×h×w, B×K×C×h×w and B×2×K×h×w →
    B×2×h×w. A class without pixels scores −scale, as what is least alike."""
    pixels = unit(support.transpose(1, 2).flatten(2), 1).transpose(1, 2)
    cosines = pixels @ unit(query.flatten(2), 1)
    best = [
        cosines.masked_fill(mask.flatten(1)[:, :, None] <= 0.5, -1.0).amax(1).view(query.shape[0], *query.shape[2:])
        for mask in masks.unbind(1)
    ]
    return scale * torch.stack(best, 1)


def confident(probability: Tensor, threshold: float, at_least: int) -> Tensor:
    """Pixels of B×h×w above the threshold; for a map that has none, its `at_least` highest (or all, if it has fewer). Bool."""
    flat = probability.flatten(1)
    chosen = flat > threshold
    highest = flat.topk(min(at_least, flat.shape[1]), dim=1).indices
    fallback = torch.zeros_like(chosen).scatter(1, highest, True)
    return (chosen | (fallback & ~chosen.any(1, keepdim=True))).view(probability.shape)


class Interaction(nn.Module):
    """p* of each class from that of the support and that of the query: B×2×C twice → B×2×C.

    `attention=False`: ½ s + ½ q of unit vectors, without parameters (the shares of Fan et al., SSP, ECCV 2022). With attention,
    both first attend to the pair that they are: LayerNorm, heads, a projection that starts near 0, a skip. A class never sees
    the other. A token is attended by itself too: a softmax over the other alone would be constant.
    """

    def __init__(self, channels: int, *, heads: int, attention: bool) -> None:
        super().__init__()
        if attention:
            self.norm = nn.LayerNorm(channels)
            self.attention = CrossAttention(channels, heads=heads)
            self.project = nn.Linear(channels, channels)
            nn.init.normal_(self.project.weight, std=INIT_STD)
            nn.init.zeros_(self.project.bias)

    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        tokens = torch.stack((unit(support, 2), unit(query, 2)), 2)
        if hasattr(self, "attention"):
            pairs = self.norm(tokens).flatten(0, 1)[:, None]
            attended, _ = self.attention(pairs, pairs)
            tokens = tokens + self.project(attended).view(tokens.shape)
        return tokens.mean(2)


def contrast(support: Tensor, query: Tensor, temperature: float) -> Tensor:
    """Consistency within classes against similarity between them: B×2×C twice → B, at least 0.

    Σ_c −log( e^⟨s_c,q_c⟩ / (e^⟨s_c,q_c⟩ + e^⟨s_c,q_c̄⟩ + e^⟨s_c,s_c̄⟩) ), products of unit vectors over the temperature.
    """
    s, q = unit(support.float(), 2), unit(query.float(), 2)
    products = [(s * other).sum(2) / temperature for other in (q, q.flip(1), s.flip(1))]
    return -torch.stack(products).log_softmax(0)[0].sum(1)
