"""The contract of dense methods: segment an image by itself; optionally in two halves, `encode` and `decode`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from delineate.data.core.soft_mask import NO_TARGETS, Targets
from delineate.methods.contract import Batch, Context, Kind, Method, Panel

__all__ = ["DenseMethod", "FeatureMaps"]


class FeatureMaps(NamedTuple):
    """Feature maps of a batch of images, between `encode` and `decode`.

    Example:
        >>> from delineate.methods.dense import FeatureMaps
        >>> maps = FeatureMaps([torch.rand(2, 16, 32, 32), torch.rand(2, 32, 16, 16)], size=(64, 64))
        >>> dropped = maps.each(torch.nn.functional.dropout2d)
        >>> len(dropped.levels), dropped.size
        (2, (64, 64))
    """

    levels: list[Tensor]
    """B×C_i×h_i×w_i, from the finest to the coarsest."""
    size: tuple[int, int]
    """Height and width of the images in pixels; padded maps do not tell."""

    def each(self, function: Callable[[Tensor], Tensor]) -> FeatureMaps:
        """Apply a function to every level.

        Args:
            function: One map B×C×h×w → the same shape.

        Returns:
            New maps; these are left as they were.
        """
        return FeatureMaps([function(level) for level in self.levels], self.size)


class DenseMethod(Method):
    """Base class of methods that segment an image by itself.

    A method defines `forward`, or instead of it `encode` and `decode`: then ways of training that change feature maps
    (`StrategyInfo.needs_encode_decode`) work with it too. One output channel is binary with sigmoid; several are softmax, with the
    background first. A method that leaves this to `self.output` can learn nested regions too (`MethodInfo.learns_regions`).

    Example:
        >>> import copy
        >>> from delineate.methods.contract import MethodInfo, MethodOptions
        >>> from delineate.methods.dense import DenseMethod
        >>> from delineate.nn.segmentation_loss import LossOptions, segmentation_loss
        >>> class OneConvolution(DenseMethod):
        ...     info = MethodInfo(name="one", title="One convolution", paper="none", year=2026)
        ...     Options = MethodOptions
        ...     def __init__(self, options, *, classes, in_channels):
        ...         super().__init__(options, classes=classes, in_channels=in_channels)
        ...         self.conv = torch.nn.Conv2d(in_channels, classes, 3, padding=1)
        ...     def forward(self, image):
        ...         return self.conv(image)
        ...     def objective(self, batch, ctx):
        ...         return segmentation_loss(self(batch["image"]), self.output.target(batch["mask"]), LossOptions())
        ...     def deploy(self):
        ...         return copy.deepcopy(self).eval()
        >>> method = OneConvolution(MethodOptions(), classes=1, in_channels=3)
        >>> method(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 1, 64, 64])
    """

    kind: ClassVar[Kind] = "dense"

    def forward(self, image: Tensor) -> Tensor:
        """Segment images.

        Args:
            image: B×C×H×W in [0, 1].

        Returns:
            Logits B×K×H×W, at the same size.
        """
        return self.decode(self.encode(image))

    def encode(self, image: Tensor) -> FeatureMaps:
        """Optional, with `decode`: the feature maps of images.

        Args:
            image: B×C×H×W in [0, 1].

        Returns:
            All that `decode` needs.

        Raises:
            NotImplementedError: The method defines neither `forward` nor `encode`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither `forward` nor `encode` and `decode`")

    def decode(self, maps: FeatureMaps) -> Tensor:
        """Optional, with `encode`: the logits of feature maps.

        `decode(encode(image))` equals `forward(image)` bit for bit, and depends on `maps` alone. It is used in stages of training
        whose `logits` are `forward`.

        Args:
            maps: Of `encode`, perhaps changed.

        Returns:
            Logits B×K×H×W, at the images' size.

        Raises:
            NotImplementedError: The method has no `decode`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `decode`")

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        """Optional: the layers that make logits, for `engine.output_bias`; of the classes alone, not of other maps.

        Returns:
            Convolutions with a bias and K outputs, that of the mask among them; none where the method does not tell.
        """
        return ()

    @classmethod
    def has_encode_decode(cls) -> bool:
        """Whether the method defines `encode` and `decode`.

        Returns:
            True if both are defined.
        """
        return cls.encode is not DenseMethod.encode and cls.decode is not DenseMethod.decode

    @classmethod
    def targets(cls, options: Any) -> Targets:
        """What training with these options learns from beside the masks. Of whole images only, not of patches.

        Args:
            options: An instance of the class's `Options`.

        Returns:
            The entries that training batches have (`Batch.target`, `Batch.unaugmented_target`); validation batches have none.
        """
        return NO_TARGETS

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        raise NotImplementedError

    def panels(self, batch: Batch) -> dict[str, Panel]:
        return {}
