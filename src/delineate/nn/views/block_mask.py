"""Squares of each image are hidden, so that a network must tell from the surroundings what lies there (Hoyer et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

__all__ = ["BlockMask"]


@dataclass(frozen=True)
class BlockMask:
    """Squares on a grid, each image with its own. Pixels stay in place, so a mask or a teacher's map of the image fits the view.

    "MIC: Masked image consistency for context-enhanced domain adaptation", arXiv 2212.01322.

    Example:
        >>> from delineate.nn.views.block_mask import BlockMask
        >>> image = torch.rand(2, 3, 32, 32)
        >>> view = BlockMask.draw(image, torch.Generator().manual_seed(0), ratio=0.5, side=1 / 4)
        >>> view.hidden.shape, view.image(image).shape
        (torch.Size([2, 1, 32, 32]), torch.Size([2, 3, 32, 32]))
    """

    hidden: Tensor
    """Bool B×1×H×W."""

    @classmethod
    def draw(cls, image: Tensor, generator: torch.Generator, *, ratio: float = 0.7, side: float = 1 / 16) -> Self:
        """Draw which squares are hidden. The defaults are MIC's, whose squares have 64 pixels in images of 1024.

        Args:
            image: B×C×H×W; only its shape and its device are used.
            generator: On the image's device. All random numbers come from it, one for each square.
            ratio: Probability of a square to be hidden.
            side: Of a square, as a share of the image's longer side. Squares are stretched so that whole ones fill the image.

        Returns:
            The squares, drawn.
        """
        height, width = image.shape[-2:]
        length = max(1.0, side * max(height, width))
        rows, columns = max(1, round(height / length)), max(1, round(width / length))
        drawn = torch.rand(len(image), 1, rows, columns, generator=generator, device=image.device)
        row, column = (_square(pixels, squares, image) for pixels, squares in ((height, rows), (width, columns)))
        return cls((drawn <= ratio)[:, :, row[:, None], column[None]])

    def image(self, image: Tensor) -> Tensor:
        """The view of the images that it was drawn for.

        Args:
            image: B×C×H×W.

        Returns:
            The same shape; hidden squares have the image's mean, of each channel.
        """
        return torch.where(self.hidden, image.mean((2, 3), keepdim=True), image)


def _square(pixels: int, squares: int, image: Tensor) -> Tensor:
    """Which of the squares along a side each of its pixels lies in."""
    return torch.arange(pixels, device=image.device) * squares // pixels
