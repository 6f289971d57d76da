"""Adaptive local prototypes: averages over small windows that lie within a class (Ouyang et al., ECCV 2020, section 3.3).

An episode's prototypes are a padded list: B×P×C with a flag for each, since episodes of one batch keep different numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.prototypes import cosine_scores, mean_prototype

__all__ = [
    "WHOLE_WINDOW",
    "Prototypes",
    "Window",
    "background_prototypes",
    "clipped",
    "foreground_prototypes",
    "local_prototypes",
    "similarity",
]

WHOLE_WINDOW = 4
"""Side of a window, in pixels of the feature map. If none lies within the foreground, local prototypes are not used for it."""

Window = tuple[int, int]


class Prototypes(NamedTuple):
    """`vectors` B×P×C, of which those count whose flag `kept` B×P is set: one at least in every episode."""

    vectors: Tensor
    kept: Tensor


def local_prototypes(features: Tensor, mask: Tensor, window: Window, threshold: float) -> Prototypes:
    """Means over windows that do not overlap, of all shots; kept where the mask's mean in the window is above `threshold`.

    B×K×C×h×w and B×K×h×w → P = K·⌊h/window⌋·⌊w/window⌋. What is left at the lower and right edge belongs to no window. All
    flags may be unset.
    """
    batch, shots, channels = features.shape[:3]
    vectors = F.avg_pool2d(features.float().flatten(0, 1), window).view(batch, shots, channels, -1)
    share = F.avg_pool2d(mask.float(), window).flatten(1)
    return Prototypes(vectors.transpose(2, 3).flatten(1, 2), share > threshold)


def background_prototypes(features: Tensor, mask: Tensor, window: Window, threshold: float) -> Prototypes:
    """Local prototypes alone; where none is kept, the mean of the class."""
    vectors, kept = local_prototypes(features, mask, window, threshold)
    mean = _mean_of_each_shot(features, mask).mean(1, keepdim=True)
    return Prototypes(torch.cat((vectors, mean), 1), torch.cat((kept, ~kept.any(1, keepdim=True)), 1))


def foreground_prototypes(features: Tensor, mask: Tensor, window: Window, threshold: float) -> Prototypes:
    """Local prototypes and each shot's mean; where no 4×4 window lies within the class, the mean over the shots alone. A shot
    without the class has no mean."""
    vectors, kept = local_prototypes(features, mask, window, threshold)
    means = _mean_of_each_shot(features, mask)
    whole = (
        F.avg_pool2d(mask.float(), clipped((WHOLE_WINDOW, WHOLE_WINDOW), mask.shape[-2:]))
        .flatten(1)
        .amax(1, keepdim=True)
    )
    large, present = whole >= threshold, mask.flatten(2).any(2)
    return Prototypes(
        torch.cat((vectors, means, means.mean(1, keepdim=True)), 1),
        torch.cat((kept & large, present & large, ~large), 1),
    )


def similarity(features: Tensor, prototypes: Prototypes, scale: float) -> Tensor:
    """Σ_p softmax_p(s)·s with s = scale · cosine to prototype p: N×C×h×w → N×1×h×w.

    The prototypes nearest to a pixel count most. The prototypes are those of N episodes or of 1.
    """
    scores = cosine_scores(features, prototypes.vectors, scale)
    share = scores.masked_fill(~prototypes.kept[:, :, None, None], -torch.inf).softmax(1)
    return (share * scores).sum(1, keepdim=True)


def clipped(window: Window, size: torch.Size | Window) -> Window:
    """The window, no larger than the map."""
    return min(window[0], size[0]), min(window[1], size[1])


def _mean_of_each_shot(features: Tensor, mask: Tensor) -> Tensor:
    return mean_prototype(features.flatten(0, 1), mask.flatten(0, 1)).view(*features.shape[:3])
