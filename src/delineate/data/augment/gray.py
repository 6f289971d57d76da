"""Gray: colors become their luma."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from delineate.data.augment.color_map import LUMA, ColorMap
from delineate.data.augment.transform import ColorTransform, Probability, Size, Transform, TransformSettings

__all__ = ["Gray", "GraySettings"]


class Gray(ColorTransform):
    name: Literal["gray"] = "gray"

    def join(self, below: ColorMap) -> ColorMap:
        # No mixing changes the luma, so what was mixed before does not matter; contrast and brightness are the same on either side.
        return replace(below, mixing=np.tile(LUMA, (3, 1)))

    def without_mixing(self) -> ColorTransform | None:
        return None


class GraySettings(TransformSettings):
    transform: ClassVar[type[Transform]] = Gray

    gray: Probability = 0.0
    """Probability of turning colors into their luma."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        return Gray() if rng.random() < self.gray else None
