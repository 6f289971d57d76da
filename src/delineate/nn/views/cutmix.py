"""CutMix (Yun et al., ICCV 2019; for segmentation French et al., BMVC 2020): a box of each image is filled from another image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from delineate.nn.views.draws import Draws


@dataclass(frozen=True)
class CutMix:
    """One box per image. Everything that belongs to the images is mixed by the same boxes: masks, a teacher's maps, weights.

    Each image takes its box from the one before it in the batch (the first from the last). An image alone in its batch stays
    as it is.

        mix = CutMix.draw(image, ctx.generator)
        logits = self(mix(image))
        wanted, trusted = mix(teacher.argmax(1)), mix(teacher.amax(1)) > 0.95
    """

    inside: Tensor
    """Bool B×H×W: filled from the other image."""

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
            generator: on the image's device; all random numbers come from it, the same number of them whatever the options.
            probability: of an image to be mixed at all.
            area: least and greatest part of the image that the box covers.
            aspect: height : width of the box lies between this and 1 / this, evenly on a logarithmic scale. A side that would
                be longer than the image's is cut to it.
        """
        draws = Draws(image, generator)
        height, width = image.shape[-2:]
        mixed = draws.chance(probability)
        pixels = draws.between(*area) * (height * width)
        ratio = torch.exp(draws.between(math.log(aspect), -math.log(aspect)))
        rows = _span(height, torch.sqrt(pixels * ratio), draws)
        columns = _span(width, torch.sqrt(pixels / ratio), draws)
        return cls((mixed & rows.view(-1, 1, height, 1) & columns.view(-1, 1, 1, width)).squeeze(1))

    def __call__(self, batch: Tensor) -> Tensor:
        """Mix what belongs to the images it was drawn for: B×H×W or B×…×H×W of any type → the same."""
        inside = self.inside.view(len(batch), *[1] * (batch.ndim - 3), *batch.shape[-2:])
        return torch.where(inside, batch.roll(1, 0), batch)


def _span(side: int, length: Tensor, draws: Draws) -> Tensor:
    """Which of `side` pixels lie in a span of about `length`, placed evenly among all places where it fits: bool B×side."""
    length = length.round().clamp(1, side).flatten(1)
    start = (draws.between(0, 1).flatten(1) * (side - length + 1)).floor()
    at = torch.arange(side, device=length.device)
    return (at >= start) & (at < start + length)
