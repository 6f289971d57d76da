"""Quarter turns: by 90, 180 or 270 degrees, without interpolation."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.pixels import shaped
from delineate.data.augment.transform import GeometricTransform, Probability, Size, Transform, TransformSettings

__all__ = ["QuarterTurn", "QuarterTurnSettings"]

_CODES = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
_COSINE_AND_SINE = {1: (0.0, 1.0), 2: (-1.0, 0.0), 3: (0.0, -1.0)}


class QuarterTurn(GeometricTransform):
    """Turned counterclockwise by `turns` times 90 degrees."""

    name: Literal["quarter_turn"] = "quarter_turn"
    turns: Literal[1, 2, 3]

    @property
    def exact(self) -> bool:
        return True

    def moved(self, pixels: Any) -> Any:
        if self.turns != 2 and pixels.shape[0] != pixels.shape[1]:
            raise ValueError(
                f"{pixels.shape[0]}×{pixels.shape[1]} pixels are not a square: they can be turned by 180° only"
            )
        return shaped(cv2.rotate(pixels, _CODES[self.turns]), pixels)

    def linear(self) -> NDArray[np.float64]:
        cosine, sine = _COSINE_AND_SINE[self.turns]
        return np.array([[cosine, sine], [-sine, cosine]])


class QuarterTurnSettings(TransformSettings):
    transform: ClassVar[type[Transform]] = QuarterTurn
    generation: ClassVar[int] = 2

    quarter_turns: Probability = 0.0
    """Probability of a turn by 90, 180 or 270 degrees, each as likely; of 180 degrees where height and width of the network's input
    differ, since all images of a batch have one shape."""

    def draw(self, rng: np.random.Generator, size: Size) -> Transform | None:
        if not self.quarter_turns or rng.random() >= self.quarter_turns:
            return None
        turns: Any = int(rng.integers(1, 4)) if size[0] == size[1] else 2
        return QuarterTurn(turns=turns)
