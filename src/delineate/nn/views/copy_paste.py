"""A box of one image pasted into another, of one size and at a random place (Bai et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from delineate.nn.views.random_draws import RandomDraws

__all__ = ["CopyPaste"]


@dataclass(frozen=True)
class CopyPaste:
    """One box, the same for all images. Everything that belongs to the images is mixed by it: masks, a teacher's maps.

    Example:
        >>> from delineate.nn.views.copy_paste import CopyPaste
        >>> image = torch.zeros(2, 3, 30, 30)
        >>> box = CopyPaste.draw(image, torch.Generator().manual_seed(0))
        >>> float(box(image, image + 1).sum()) / image.numel()  # two thirds of each side
        0.444...
    """

    box: Tensor
    """Bool H×W: these pixels are taken from the other image."""

    @classmethod
    def draw(cls, image: Tensor, generator: torch.Generator, *, side: float = 2 / 3) -> Self:
        """Draw the place of the box; every place where it lies within the image is equally likely.

        Args:
            image: B×C×H×W; only its shape and its device are used.
            generator: On the image's device. All random numbers come from it.
            side: Height and width of the box, as a share of the image's.

        Returns:
            The box, drawn.
        """
        draws = RandomDraws(image[:1], generator)
        height, width = image.shape[-2:]
        rows, columns = (_span(length, side, draws) for length in (height, width))
        return cls(rows[:, None] & columns[None, :])

    def __call__(self, batch: Tensor, other: Tensor) -> Tensor:
        """`batch` with the box of `other` in it: both B×…×H×W, of one type → the same shape."""
        return torch.where(self.box, other, batch)


def _span(length: int, share: float, draws: RandomDraws) -> Tensor:
    """Bool `length`: which of them lie in the span."""
    inside = max(1, int(share * length))
    start = (draws.uniform(0, length - inside + 1).flatten()).floor().clamp_max(length - inside)
    pixel = torch.arange(length, device=start.device)
    return (pixel >= start) & (pixel < start + inside)
