"""The contract of dense methods: segment an image alone; and, if they like, show what is inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

from torch import Tensor

from delineate.methods.contract import Batch, Context, Kind, Method, Panel


class FeatureMaps(NamedTuple):
    """What a network keeps of a batch of images between `encode` and `decode`."""

    levels: list[Tensor]
    """B×C_i×h_i×w_i, from the finest to the coarsest."""
    size: tuple[int, int]
    """Height and width of the images, which padded maps do not tell."""

    def each(self, change: Callable[[Tensor], Tensor]) -> FeatureMaps:
        """The same with every level changed: `maps.each(functional.dropout2d)`."""
        return FeatureMaps([change(level) for level in self.levels], self.size)


class DenseMethod(Method):
    """Base class of methods that segment an image alone.

    `classes` counts output channels K: one is binary with sigmoid, several are softmax, background first. A method defines
    `forward`, or in its place `encode` and `decode`, which opens its inside to ways of training that change feature maps.
    """

    kind: ClassVar[Kind] = "dense"

    def forward(self, image: Tensor) -> Tensor:
        """B×C×H×W in [0, 1] → logits B×K×H×W at the same size."""
        return self.decode(self.encode(image))

    def encode(self, image: Tensor) -> FeatureMaps:
        """Optional: the feature maps of B×C×H×W in [0, 1]; all that `decode` needs."""
        raise NotImplementedError(f"{type(self).__name__} defines neither `forward` nor `encode` and `decode`")

    def decode(self, maps: FeatureMaps) -> Tensor:
        """Optional: feature maps → logits B×K×H×W, at the images' size.

        `decode(encode(image))` is `forward(image)` bit for bit, and nothing but `maps` matters. So it belongs to those stages
        of training whose `logits` are `forward`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `decode`")

    @classmethod
    def has_encode_decode(cls) -> bool:
        """Whether the method has `encode` and `decode`. Whoever needs them asks first."""
        return cls.encode is not DenseMethod.encode and cls.decode is not DenseMethod.decode

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        raise NotImplementedError

    def panels(self, batch: Batch) -> dict[str, Panel]:
        return {}
