"""What a network's encoder makes of images, as one vector each: the means of its feature maps over their positions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.inference.device import Precision, arithmetic, as_batch
from delineate.methods.contract import Method
from delineate.methods.dense import DenseMethod

__all__ = ["EncoderFeatures"]

_MOST: Final = 512
"""Of features; of more, so many are taken at equal distances."""


class EncoderFeatures:
    """Runs the encoder of a method. Use it from the thread of the device."""

    def __init__(self, method: DenseMethod, device: torch.device, precision: Precision = "32") -> None:
        # A copy of the method itself: its lean form has no `encode`.
        self._method: Any = copy.deepcopy(method).eval().to(device)
        self._device, self._precision = device, precision

    @classmethod
    def of(cls, method: Method, device: torch.device, precision: Precision = "32") -> EncoderFeatures | None:
        """None for a method that does not tell its encoder's maps (`encode`)."""
        if isinstance(method, DenseMethod) and method.has_encode_decode():
            return cls(method, device, precision)
        return None

    @torch.inference_mode()
    def of_images(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """B images h×w×C of one size, float32 in [0, 1] → B×D. One more pass through the encoder."""
        with arithmetic(self._device, self._precision, len(images), images[0].shape[:2]):
            levels = self._method.encode(as_batch(images, self._device)).levels
            means = torch.cat([level.float().mean((2, 3)) for level in levels], 1).cpu().numpy()
        kept = np.unique(np.linspace(0, means.shape[1] - 1, min(_MOST, means.shape[1])).astype(int))
        return means[:, kept].astype(np.float64)
