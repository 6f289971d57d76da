"""Mean/std normalization as the first layer of a network, so that it is saved, exported and deployed with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from torch import Tensor, nn

from delineate.common.errors import RecipeError

__all__ = ["IMAGENET", "ChannelStatistics", "Normalization", "Normalize", "in_words", "make_normalize", "statistics"]


class ChannelStatistics(BaseModel):
    """Mean and standard deviation of each channel of images in [0, 1].

    Example:
        >>> from delineate.nn.normalize import ChannelStatistics
        >>> ChannelStatistics(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5]).mean
        (0.5, 0.5, 0.5)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, ...] = Field(min_length=1, description="of each channel (RGB order), or one for all")
    std: tuple[float, ...] = Field(min_length=1, description="standard deviation of each channel, likewise")

    @model_validator(mode="after")
    def _of_images_in_0_1(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} values and std {len(self.std)}; give one of each per channel")
        if any(not 0 <= value <= 1 for value in self.mean):
            raise ValueError("mean: images are in [0, 1] here; divide values of 8-bit images by 255")
        if any(not 0 < value <= 1 for value in self.std):
            raise ValueError("std: must be above 0 and at most 1, since images are in [0, 1] here")
        return self

    @property
    def words(self) -> str:
        """ "mean 0.5, 0.5, 0.5, std 0.5, 0.5, 0.5"."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"mean {mean}, std {std}"


IMAGENET = ChannelStatistics(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""What most of timm's weights were trained with, but not all: 379 of the 1151 default ones were not."""
_NOTHING = ChannelStatistics(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def _form(given: object) -> str:
    """So that a fault in given statistics is told as such, and not as an unknown word."""
    return "statistics" if isinstance(given, Mapping | BaseModel) else "word"


Normalization = Annotated[
    Annotated[Literal["auto", "imagenet", "none"], Tag("word")] | Annotated[ChannelStatistics, Tag("statistics")],
    Discriminator(_form),
]
"""A recipe's `method.normalize`: as the encoder's pretrained weights expect (ImageNet's without such), ImageNet's mean and standard
deviation, the image as it is, or given ones."""


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


def make_normalize(in_channels: int, kind: Normalization = "imagenet") -> nn.Module:
    """The first layer of a network, by a recipe's key `method.normalize`.

    Args:
        in_channels: Channels of the images.
        kind: "imagenet" (and "auto"), "none" (the image as it is), or mean and standard deviation: one for all channels, one for
            each, or three in RGB order, of which images with another number of channels get the mean.

    Returns:
        A module without parameters, B×C×H×W → the same shape.

    Raises:
        RecipeError: Statistics of another number of channels.

    Example:
        >>> from delineate.nn.normalize import make_normalize
        >>> make_normalize(3)(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    given = statistics(kind)
    if given == _NOTHING:
        return nn.Identity()
    return Normalize(_per_channel(given.mean, in_channels), _per_channel(given.std, in_channels))


def statistics(kind: Normalization) -> ChannelStatistics:
    """Mean and standard deviation that `kind` means; 0 and 1 for "none"."""
    if isinstance(kind, ChannelStatistics):
        return kind
    return _NOTHING if kind == "none" else IMAGENET


def in_words(given: ChannelStatistics) -> Normalization:
    """The shortest way to write statistics in a recipe: by name where they have one."""
    if given == IMAGENET:
        return "imagenet"
    return "none" if given == _NOTHING else given


def _per_channel(values: Sequence[float], channels: int) -> Sequence[float]:
    if len(values) == channels:
        return values
    if len(values) not in (1, 3):
        raise RecipeError(
            f"method.normalize: {len(values)} values for images of {channels} channels; give one for all, or one for each"
        )
    return (sum(values) / len(values),) * channels
