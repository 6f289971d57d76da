"""One encoder, three levels: low features for boundaries, middle ones for mean prototypes, high ones for peak prototypes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from delineate.common.errors import RecipeError
from delineate.methods.ipsl.encoding import EncodingKind, encoding
from delineate.nn.blocks import pad_to_multiple, resize_like
from delineate.nn.encoders.encoder import Encoder, pyramid
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.normalize import Normalization, make_normalize

__all__ = ["STAGES", "Features", "Levels", "Maps"]

Maps = dict[str, Tensor]
"""Feature maps by the kind of prototype that is taken from them: "mean" (middle level), "peak" (high level)."""
STAGES = 4


class Features(NamedTuple):
    """`low` N×C_l×H/4×W/4; `maps` N×width×H/8×W/8 each, float32. (For encoders whose stages have the usual strides.)"""

    low: Tensor
    maps: Maps

    def split(self, first: int) -> tuple[Features, Features]:
        """Those of the first so many images, and of the others."""
        ends = (slice(None, first), slice(first, None))
        one, other = (Features(self.low[end], {kind: x[end] for kind, x in self.maps.items()}) for end in ends)
        return one, other


class Levels(nn.Module):
    """N×C×H×W → `Features`; sides that are no multiples of `step` are padded. Support and query share all weights.

    low: stage 1. middle ("mean"): stages 2 and 3 joined, 1×1 convolution (Tian et al., PFENet, TPAMI 2020). high ("peak"):
    stage 4, 1×1 convolution, deep encoding-decoding. The reductions are linear, since cosines of rectified features lie close
    together. Both maps are on the grid of stage 2. A level that is not asked for is not built, nor the stage that only it needs.
    Raises `RecipeError` for an encoder with fewer than four feature maps.
    """

    def __init__(
        self,
        encoder: EncoderOptions,
        *,
        in_channels: int,
        output_stride: int | None,
        normalize: Normalization,
        width: int,
        mean: bool,
        peak: bool,
        encode_decode: EncodingKind,
        bottleneck_attention: bool,
    ) -> None:
        super().__init__()
        reductions = pyramid(encoder.name)
        count = len(reductions)
        if count < STAGES:
            raise RecipeError(
                f"encoder '{encoder.name}' gives {count} feature maps, but ipsl needs {STAGES}; take another"
            )
        self.first = count - STAGES
        self.normalize = make_normalize(in_channels, normalize)
        self.encoder = Encoder(
            encoder.name, in_channels=in_channels, levels=count if peak else count - 1, output_stride=output_stride
        )
        stages = self.encoder.channels[self.first :]
        self.low_channels = stages[0]
        self.step: int = reductions[-1]
        if mean:
            self.middle = nn.Conv2d(stages[1] + stages[2], width, 1, bias=False)
        if peak:
            self.high = nn.Conv2d(stages[3], width, 1, bias=False)
            self.encode_decode = encoding(encode_decode, width, attention=bottleneck_attention)

    def forward(self, image: Tensor) -> Features:
        low, second, *deeper = self.encoder(self.normalize(pad_to_multiple(image, self.step)))[self.first :]
        maps: Maps = {}
        if hasattr(self, "middle"):
            maps["mean"] = self.middle(torch.cat((second, resize_like(deeper[0], second)), 1)).float()
        if hasattr(self, "high"):
            maps["peak"] = self.encode_decode(resize_like(self.high(deeper[1]), second)).float()
        return Features(low, maps)

    def padded(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Height and width that images of this size are padded to, below and to the right."""
        height, width = ((side + self.step - 1) // self.step * self.step for side in size)
        return height, width
