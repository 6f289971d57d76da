"""The two encoders: one sees the image, the other its enhanced copy."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.encoders.two_level import Level, LowFeature, TwoLevelEncoder
from delineate.nn.normalize import Normalization, make_normalize

__all__ = ["LEVELS", "GrayInput", "InputLayer", "Stream", "StreamKind", "Streams"]

LEVELS = 4
StreamKind = Literal["two", "shared", "one"]
GrayInput = Literal["replicate", "learned"]


class InputLayer(nn.Module):
    """Mean and standard deviation taken off; one gray channel then becomes the three that encoders are trained with.

    `replicate`: three copies, before the statistics of each color are taken off. `learned`: 1×1 convolution 1 → 3,
    BatchNorm, ReLU. B×C×H×W → B×(3 if C = 1 else C)×H×W.
    """

    def __init__(self, in_channels: int, normalize: Normalization, gray: GrayInput) -> None:
        super().__init__()
        self.copies = in_channels == 1 and gray == "replicate"
        self.out_channels = 3 if in_channels == 1 else in_channels
        self.normalize = make_normalize(3 if self.copies else in_channels, normalize)
        if in_channels == 1 and gray == "learned":
            self.adapt = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.BatchNorm2d(3), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        if self.copies:
            return self.normalize(image.expand(-1, 3, -1, -1))
        image = self.normalize(image)
        return self.adapt(image) if hasattr(self, "adapt") else image


class Stream(nn.Module):
    """InputLayer → encoder with a low and a high map of each level: B×C×H×W → four levels."""

    def __init__(
        self,
        encoder: EncoderOptions,
        *,
        in_channels: int,
        normalize: Normalization,
        gray: GrayInput,
        low: LowFeature,
        layer_scale: float | None,
    ) -> None:
        super().__init__()
        self.entry = InputLayer(in_channels, normalize, gray)
        self.encoder = TwoLevelEncoder(encoder.name, in_channels=self.entry.out_channels, levels=LEVELS, low=low)
        if layer_scale is not None:
            self.encoder.set_layer_scale(layer_scale)

    def forward(self, image: Tensor) -> list[Level]:
        levels: list[Level] = self.encoder(self.entry(image))
        return levels


class Streams(nn.Module):
    """`forward(image, enhanced)` → the levels of each stream; `kind` `one` has the image's only and returns no others.

    `shared`: one set of weights sees both, as one batch of twice the size.
    """

    def __init__(self, original: Stream, enhanced: Stream | None, kind: StreamKind) -> None:
        super().__init__()
        self.kind = kind
        self.original = original
        if enhanced is not None:
            self.enhanced = enhanced

    def forward(self, image: Tensor, enhanced: Tensor) -> tuple[list[Level], list[Level]]:
        if self.kind == "one":
            return self.original(image), []
        if self.kind == "two":
            return self.original(image), self.enhanced(enhanced)
        both = [(low.chunk(2), high.chunk(2)) for low, high in self.original(torch.cat((image, enhanced)))]
        first, second = ([Level(low[i], high[i]) for low, high in both] for i in (0, 1))
        return first, second

    def load_pretrained(self, source: bool | str) -> dict[str, WeightsOrigin]:
        """As `Encoder.load_pretrained`, for every encoder there is; their names → the weights' origin."""
        origins: dict[str, WeightsOrigin] = {}
        for name, stream in self.named_children():
            assert isinstance(stream, Stream)
            if origin := stream.encoder.load_pretrained(source):
                origins[f"streams.{name}.encoder"] = origin
        return origins
