"""Dropout: black rectangles in the image; the mask keeps its labels."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, PositiveInt

from delineate.data.augment.transform import (
    PixelTransform,
    Probability,
    Range,
    Size,
    Transform,
    TransformSettings,
    ordered,
)

__all__ = ["Dropout", "DropoutSettings", "Hole"]

Hole = tuple[int, int, int, int]
"""Top, left, height, width in pixels."""


class Dropout(PixelTransform):
    name: Literal["dropout"] = "dropout"
    holes: tuple[Hole, ...]

    def apply(self, image: Any) -> Any:
        image = image.copy()
        for top, left, height, width in self.holes:
            image[top : top + height, left : left + width] = 0
        return image


class DropoutSettings(TransformSettings):
    transform: ClassVar[type[Transform]] = Dropout
    takes_zoom: ClassVar[bool] = True

    dropout: Probability = 0.0
    """Probability of black rectangles in the image; the mask keeps its labels."""
    dropout_holes: Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(ordered)] = (1, 8)
    """Their number; each as likely."""
    dropout_size: Range = (0.05, 0.15)
    """Sides as fractions of height and width."""
    dropout_pixels: PositiveInt | None = None
    """In place of `dropout_size`: sides in pixels of the image at its own size, before it is brought to the network's."""

    def draw(self, rng: np.random.Generator, size: Size, zoom: tuple[float, float] = (1.0, 1.0)) -> Transform | None:
        if rng.random() >= self.dropout:
            return None
        (height, width), (low, high) = size, self.dropout_size
        count = int(rng.integers(self.dropout_holes[0], self.dropout_holes[1] + 1))
        holes: list[Hole] = []
        for tall, wide, down, right in zip(*(rng.random((4, count)).tolist()), strict=True):
            tall, wide = (low + tall * (high - low)) * height, (low + wide * (high - low)) * width
            if self.dropout_pixels is not None:
                tall, wide = self.dropout_pixels * zoom[0], self.dropout_pixels * zoom[1]
            hole_h, hole_w = min(height, max(1, round(tall))), min(width, max(1, round(wide)))
            holes.append((int(down * (height - hole_h + 1)), int(right * (width - hole_w + 1)), hole_h, hole_w))
        return Dropout(holes=tuple(holes))
