"""Mean/std normalisation as the first layer of a network, so that it is saved, exported and deployed with it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

NormaliseKind = Literal["imagenet", "none"]


class Normalise(nn.Module):
    """`(image − mean) / std` per channel, for images B×C×H×W in [0, 1].

    `imagenet`: the statistics that timm's encoders were trained with, in RGB order; with any other number of channels
    than three, each gets the mean of the three. `none`: the image as it is.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, in_channels: int, kind: NormaliseKind = "imagenet") -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", _per_channel(IMAGENET_MEAN, in_channels), persistent=False)
        self.register_buffer("std", _per_channel(IMAGENET_STD, in_channels), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return image if self.kind == "none" else (image - self.mean) / self.std


def _per_channel(values: tuple[float, float, float], channels: int) -> Tensor:
    chosen = values if channels == 3 else (sum(values) / 3,) * channels
    return torch.tensor(chosen).view(1, channels, 1, 1)
