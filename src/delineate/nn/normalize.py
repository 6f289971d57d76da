"""Mean/std normalization as the first layer of a network, so that it is saved, exported and deployed with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Normalize", "NormalizeKind", "make_normalize"]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

NormalizeKind = Literal["imagenet", "none"]


class Normalize(nn.Module):
    """`(image − mean) / std`, one value per channel: B×C×H×W in [0, 1] → the same shape.

    Args:
        mean: Of each channel, in the range of the image, [0, 1].
        std: Standard deviation of each channel, likewise.

    Example:
        >>> from delineate.nn.normalize import Normalize
        >>> normalize = Normalize(mean=(0.5,), std=(0.25,))
        >>> float(normalize(torch.ones(1, 1, 2, 2))[0, 0, 0, 0])
        2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


def make_normalize(in_channels: int, kind: NormalizeKind = "imagenet") -> nn.Module:
    """The first layer of a network, by a recipe's key `method.normalize`.

    Args:
        in_channels: Channels of the images.
        kind: "imagenet": the mean and standard deviation that timm's encoders were trained with, in RGB order; with any other
            number of channels than three, each gets the mean of the three. "none": the image as it is.

    Returns:
        A module without parameters, B×C×H×W → the same shape.

    Example:
        >>> from delineate.nn.normalize import make_normalize
        >>> make_normalize(3)(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    if kind == "none":
        return nn.Identity()
    return Normalize(_per_channel(_IMAGENET_MEAN, in_channels), _per_channel(_IMAGENET_STD, in_channels))


def _per_channel(values: tuple[float, float, float], channels: int) -> Sequence[float]:
    return values if channels == 3 else (sum(values) / 3,) * channels
