"""CutMix (Yun et al., ICCV 2019; for segmentation French et al., BMVC 2020): a box of each image is filled from another image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from delineate.nn.views.random_draws import RandomDraws

__all__ = ["CutMix"]


@dataclass(frozen=True)
class CutMix:
    """One box per image. Everything that belongs to the images is mixed by the same boxes: masks, a teacher's maps, weights.

    The box of each image is filled from the image before it in the batch (the first from the last). An image alone in its
    batch stays as it is.

    Example:
        >>> from delineate.nn.views.cutmix import CutMix
        >>> image, mask = torch.rand(4, 3, 32, 32), torch.zeros(4, 32, 32, dtype=torch.long)
        >>> mix = CutMix.draw(image, torch.Generator().manual_seed(0))
        >>> mix(image).shape, mix(mask).shape
        (torch.Size([4, 3, 32, 32]), torch.Size([4, 32, 32]))
    """

    box: Tensor
    """Bool B×H×W: these pixels are taken from the other image."""

    @classmethod
    def draw(
        cls,
        image: Tensor,
        generator: torch.Generator,
        *,
        probability: float = 0.5,
        area: tuple[float, float] = (0.02, 0.4),
        aspect: float = 0.3,
    ) -> Self:
        """Draw a box for each image. The defaults are UniMatch's.

        Args:
            image: B×C×H×W; only its shape and its device are used.
            generator: On the image's device. All random numbers come from it, the same number of them whatever the options.
            probability: Of an image to be mixed at all.
            area: Smallest and largest share of the image that the box covers.
            aspect: Height divided by width of the box lies between this and 1 / this, uniform on a logarithmic scale. Sides longer
                than the image's are cut.

        Returns:
            The boxes, drawn.
        """
        draws = RandomDraws(image, generator)
        height, width = image.shape[-2:]
        mixed = draws.bernoulli(probability)
        pixels = draws.uniform(*area) * (height * width)
        ratio = torch.exp(draws.uniform(math.log(aspect), -math.log(aspect)))
        rows = _span(height, torch.sqrt(pixels * ratio), draws)
        columns = _span(width, torch.sqrt(pixels / ratio), draws)
        return cls((mixed & rows.view(-1, 1, height, 1) & columns.view(-1, 1, 1, width)).squeeze(1))

    def __call__(self, batch: Tensor) -> Tensor:
        """Mix what belongs to the images that it was drawn for: B×H×W or B×…×H×W of any type → the same shape."""
        box = self.box.view(len(batch), *[1] * (batch.ndim - 3), *batch.shape[-2:])
        return torch.where(box, batch.roll(1, 0), batch)


def _span(side: int, length: Tensor, draws: RandomDraws) -> Tensor:
    """Which of `side` pixels lie in a span of about `length` at a random place where it fits: bool B×side."""
    length = length.round().clamp(1, side).flatten(1)
    start = (draws.uniform(0, 1).flatten(1) * (side - length + 1)).floor()
    pixel = torch.arange(side, device=length.device)
    return (pixel >= start) & (pixel < start + length)
