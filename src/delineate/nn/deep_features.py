"""The feature map by which prototype methods compare pixels: a deep one, kept at a high resolution."""

from __future__ import annotations

from torch import Tensor, nn

from delineate.nn.encoders.encoder import Encoder, pyramid
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.normalize import Normalization, make_normalize

__all__ = ["DeepFeatures"]


class DeepFeatures(nn.Module):
    """Normalization → encoder → the last of its first `levels` maps (None: of all) → 1×1 convolution to `width` channels.

    The convolution is linear, so that cosines use both signs. B×in_channels×H×W in [0, 1] →
    B×channels×⌈H/reduction⌉×⌈W/reduction⌉. Without `width` the encoder's own channels are given. `output_stride` as `Encoder`
    takes it. Raises `RecipeError` as `Encoder` does.
    """

    def __init__(
        self,
        options: EncoderOptions,
        *,
        in_channels: int,
        output_stride: int | None = 8,
        levels: int | None = None,
        width: int | None = 256,
        normalize: Normalization = "imagenet",
    ) -> None:
        super().__init__()
        self.pretrained = options.pretrained
        self.normalize = make_normalize(in_channels, normalize)
        count = levels or len(pyramid(options.name))
        self.encoder = Encoder(options.name, in_channels=in_channels, levels=count, output_stride=output_stride)
        deep = self.encoder.channels[-1]
        self.reduce = nn.Identity() if width is None else nn.Conv2d(deep, width, 1, bias=False)
        self.channels = deep if width is None else width
        self.reduction = self.encoder.reductions[-1]

    def load_pretrained(self) -> WeightsOrigin | None:
        """Load the encoder's weights, as its options say; returns and raises as `Encoder.load_pretrained`."""
        return self.encoder.load_pretrained(self.pretrained)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.reduce(self.encoder(self.normalize(image))[-1])
        return result
