"""The contract of dense methods: segment an image alone."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from delineate.methods.contract import Batch, Context, Kind, Method, Panel


class DenseMethod(Method):
    """Base class of methods that segment an image alone.

    `classes` counts output channels K: one is binary with sigmoid, several are softmax, background first.
    """

    kind: ClassVar[Kind] = "dense"

    def forward(self, image: Tensor) -> Tensor:
        """B×C×H×W in [0, 1] → logits B×K×H×W at the same size."""
        raise NotImplementedError

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        raise NotImplementedError

    def panels(self, batch: Batch) -> dict[str, Panel]:
        return {}
