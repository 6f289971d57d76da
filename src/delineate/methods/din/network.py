"""DIN: dual interaction network with cross-image attention.

Noh, Jeon, Park: "Dual interaction network with cross-image attention for medical image segmentation",
Pattern Recognition Letters 197 (2025) 332-338, arXiv 2509.05953. Written from the abstract and the figures; the authors
published no code. Readings are named in `card.md`.

In the order in which data meets them: an enhanced copy of the image (`nn.enhance`), two encoders (`streams`), merging of low
and high features, dual interactive fusion and global spatial attention at every level (`interaction`), MLP decoder
(`decoder`). Trained with cross-entropy, Dice and a multi-scale boundary loss (`objective`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from delineate.common.errors import RecipeError
from delineate.methods.contract import PAPER, READING, Batch, Context, MethodInfo, Panel
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.din.decoder import LeanMLPDecoder, MLPDecoder
from delineate.methods.din.interaction import (
    AttentionOptions,
    Concatenation,
    DualInteraction,
    Merge,
    spatial_attention,
)
from delineate.methods.din.objective import DINLossOptions, terms
from delineate.methods.din.streams import LEVELS, GrayInput, Stream, StreamKind, Streams
from delineate.methods.encoder_options import NORMALIZE, EncoderMethodOptions
from delineate.nn.blocks import resize_like, size_of
from delineate.nn.boundary_loss import edges
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.encoders.two_level import LowFeature
from delineate.nn.enhance import Enhance, EnhanceOptions
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.normalize import Normalization

__all__ = ["DIN", "DINOptions", "SingleStream"]


class DINOptions(EncoderMethodOptions):
    """Options of DIN. `origin` says what the paper states or draws and what is this project's reading."""

    encoder: EncoderOptions = Field(
        EncoderOptions(name="convnext_base"),
        description="timm network with four levels or more, for each stream",
        json_schema_extra=READING,
    )
    streams: StreamKind = Field(
        "two",
        description="two encoders; one that sees both images (shared); one that sees the image alone, without an exchange (one)",
        json_schema_extra=PAPER,
    )
    enhance: EnhanceOptions = Field(
        EnhanceOptions(), description="how the second stream's image is enhanced", json_schema_extra=READING
    )
    gray: GrayInput = Field(
        "replicate", description="how one channel becomes the encoder's three", json_schema_extra=READING
    )
    normalize: Normalization = Field("auto", description=f"{NORMALIZE}; off both images", json_schema_extra=READING)
    layer_scale: float | None = Field(
        1.0,
        gt=0,
        description="first value of the encoder's layer scales from random weights; null keeps timm's (1e-6)",
        json_schema_extra=READING,
    )
    low: LowFeature = Field(
        "first_block",
        description="where a stage's low feature map is taken; previous, the level before averaged to this one's size, is also "
        "what first_block means for encoders whose stages are not plain sequences of blocks",
        json_schema_extra=READING,
    )
    merge_kernel: Literal[1, 3] = Field(
        1, description="kernel of the convolution that merges low and high", json_schema_extra=READING
    )
    fusion: Literal["attention", "concatenation"] = Field(
        "attention", description="dual interactive fusion, or one convolution of both joined", json_schema_extra=PAPER
    )
    attention: AttentionOptions = Field(
        AttentionOptions(), description="the exchange between the streams", json_schema_extra=READING
    )
    spatial_attention: bool = Field(
        True, description="global spatial attention after the fusion", json_schema_extra=PAPER
    )
    decoder_width: int = Field(256, ge=1, description="channels of the decoder", json_schema_extra=READING)
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout before the logits", json_schema_extra=READING)
    loss: DINLossOptions = Field(DINLossOptions(), description="weighted sum of losses", json_schema_extra=PAPER)


class DIN(DenseMethod):
    """`forward(image)`: B×C×H×W → logits B×K×H×W at any size ≥ 32 (padded inside, cropped again)."""

    info = MethodInfo(
        name="din",
        title="DIN",
        paper="Noh, Jeon, Park: Dual interaction network with cross-image attention for medical image segmentation, "
        "Pattern Recognition Letters 197 (2025) 332-338, arXiv 2509.05953",
        year=2025,
        min_size=32,
        export_form="multiple",
        couples_samples=True,
        license_note="Written from the paper's abstract and figures; the authors published no code.",
        checkpoint_modules=("streams", *(f"fusion.{level}" for level in range(LEVELS)), "decoder"),
        learns_regions=True,
    )
    Options = DINOptions
    options: DINOptions

    def __init__(self, options: DINOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.enhance = Enhance(options.enhance)
        original = _stream(options, in_channels)
        self.streams = Streams(
            original, _stream(options, in_channels) if options.streams == "two" else None, options.streams
        )
        channels, low = original.encoder.channels, original.encoder.low_channels
        _check_heads(options, channels)
        self.merge = nn.ModuleList(
            Merge(low, channels, options.merge_kernel) for _ in range(1 if options.streams == "one" else 2)
        )
        self.fusion = nn.ModuleList(_fusion(options, count, level) for level, count in enumerate(channels))
        self.decoder: nn.Module = MLPDecoder(channels, options.decoder_width, classes, options.dropout)

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        return self.streams.load_pretrained(self.options.encoder.pretrained)

    def encode(self, image: Tensor) -> FeatureMaps:
        return self._attended(self.fused(image), image)

    def decode(self, maps: FeatureMaps) -> Tensor:
        return self.decoder(maps.levels, maps.size)

    def fused(self, image: Tensor) -> list[tuple[Tensor, ...]]:
        """The fused maps of every level, B×C_i×h_i×w_i, before global spatial attention: one for each stream (Z_I, Z_E), or one
        alone where there is one stream or fusion is by concatenation."""
        enhanced = image if self.options.streams == "one" else self.enhance(image)
        streams = [levels for levels in self.streams(image, enhanced) if levels]
        merged = [merge(levels) for merge, levels in zip(self.merge, streams, strict=True)]
        return [fusion(*maps) for fusion, *maps in zip(self.fusion, *merged, strict=True)]

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return (self.decoder.head,) if isinstance(self.decoder, MLPDecoder) else ()

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        # Validation always uses the loss as it is in the end: a weight that rises would look like a loss that rises.
        progress = ctx.progress if self.training else 1.0
        return terms(self(batch["image"]), self.output.target(batch["mask"]), self.options.loss, progress)

    def deploy(self) -> nn.Module:
        """BatchNorm folded, the decoder's linear steps multiplied out, channels-last."""
        assert isinstance(self.decoder, MLPDecoder)
        lean = copy.deepcopy(self).eval()
        lean.decoder = LeanMLPDecoder(self.decoder)
        return fold_batchnorm(lean).to(memory_format=torch.channels_last)

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`enhanced`: what the second stream sees. `attention`: the finest level's global spatial attention, mean of both
        streams, each image stretched to its own range (the gate itself stays near ½). `boundary`: edge strength of the
        foreground's probability, as the boundary loss sees it."""
        image = batch["image"]
        maps = self.fused(image)
        attention = torch.stack([spatial_attention(z.float()) for z in maps[0]]).mean(0)
        probability = self.output.foreground(self.decode(self._attended(maps, image)))
        panels = {
            "attention": Panel("heat", _stretched(resize_like(attention, image))),
            "boundary": Panel("heat", edges(probability, self.options.loss.gradient).abs().clamp(0, 1)),
        }
        return panels if self.options.streams == "one" else {"enhanced": Panel.of_image(self.enhance(image)), **panels}

    def _attended(self, maps: list[tuple[Tensor, ...]], image: Tensor) -> FeatureMaps:
        """Global spatial attention, then the sum over the streams."""
        if self.options.spatial_attention:
            maps = [tuple(z * spatial_attention(z) for z in level) for level in maps]
        return FeatureMaps([torch.stack(level).sum(0) for level in maps], size_of(image))


class SingleStream(nn.Module):
    """Instead of a fusion where there is one stream."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)


def _stretched(x: Tensor) -> Tensor:
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return ((x - low) / (high - low).clamp_min(torch.finfo(x.dtype).tiny)).clamp(0, 1)


def _stream(options: DINOptions, in_channels: int) -> Stream:
    return Stream(
        options.encoder,
        in_channels=in_channels,
        normalize=options.normalize,
        gray=options.gray,
        low=options.low,
        layer_scale=options.layer_scale,
    )


def _fusion(options: DINOptions, channels: int, level: int) -> nn.Module:
    if options.streams == "one":
        return SingleStream()
    if options.fusion == "concatenation":
        return Concatenation(channels)
    return DualInteraction(channels, options.attention, level)


def _check_heads(options: DINOptions, channels: tuple[int, ...]) -> None:
    for level, (heads, count) in enumerate(zip(options.attention.heads, channels, strict=True), start=1):
        if count % heads:
            raise RecipeError(
                f"method 'din': attention.heads: {count} channels of level {level} of encoder '{options.encoder.name}' cannot "
                f"be divided among {heads} heads"
            )
