"""Random numbers of a view: one for each image, on the batch's device, from the generator alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["RandomDraws", "constant"]


class RandomDraws:
    """Random numbers for a batch B×C×H×W, in the order of the calls; each of shape B×1×1×1."""

    def __init__(self, image: Tensor, generator: torch.Generator) -> None:
        self.shape = (len(image), 1, 1, 1)
        self.device, self.generator = image.device, generator

    def uniform(self, low: float, high: float) -> Tensor:
        drawn = torch.rand(self.shape, generator=self.generator, device=self.device)
        return low + (high - low) * drawn

    def choice(self, values: Sequence[int]) -> Tensor:
        table = constant(values, self.device)
        return table[self.uniform(0, len(values)).long().clamp_max(len(values) - 1)]

    def bernoulli(self, probability: float) -> Tensor:
        """True with this probability."""
        return self.uniform(0, 1) < probability


def constant(values: Sequence[Any], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A small table on the device. `torch.tensor(…, device=…)` would wait until the GPU has done all that is queued."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)
