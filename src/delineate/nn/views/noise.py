"""Additive Gaussian noise, as consistency training puts it on what a teacher or a student sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

__all__ = ["NoiseView"]


@dataclass(frozen=True)
class NoiseView:
    """Gaussian noise of each value, cut at a largest deviation. Pixels stay in place.

    Example:
        >>> from delineate.nn.views.noise import NoiseView
        >>> image = torch.rand(2, 3, 32, 32)
        >>> view = NoiseView.draw(image, torch.Generator().manual_seed(0))
        >>> bool((view.image(image) - image).abs().max() <= 0.2 + 1e-6)
        True
    """

    noise: Tensor
    """B×C×H×W."""

    @classmethod
    def draw(cls, image: Tensor, generator: torch.Generator, *, sigma: float = 0.1, most: float = 0.2) -> Self:
        """Draw noise for each image. The defaults are those of UA-MT and of what follows it.

        Args:
            image: B×C×H×W in [0, 1]; only its shape, type and device are used.
            generator: On the image's device. All random numbers come from it.
            sigma: Standard deviation before it is cut.
            most: Largest deviation to either side.

        Returns:
            The noise, drawn.
        """
        drawn = torch.randn(image.shape, generator=generator, device=image.device, dtype=torch.float32)
        return cls((drawn * sigma).clamp(-most, most).to(image.dtype))

    def image(self, image: Tensor) -> Tensor:
        """The view of the images that it was drawn for.

        Args:
            image: B×C×H×W.

        Returns:
            The same shape; values may leave [0, 1] by as much as the noise is large, as in the sources.
        """
        return image + self.noise
