"""CMAformer: a residual U-Net whose coarsest map passes a transformer of encoder and decoder layers.

Zheng, Li, Li, Chen, Dong, Huang, Pun, Zhou: "Lagrange duality and compound multi-attention transformer for semi-supervised medical
image segmentation", arXiv 2409.07793. Channel gates on the way down, dilated convolutions between the transformer's halves and at
the end, gates of encoder and decoder maps on the way up. Its way of training is the strategy `lagrange`.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.methods.cmaformer.layers import (
    CrossGate,
    DecoderLayer,
    DilatedConvs,
    EncoderLayer,
    PatchEmbedding,
    PreActivation,
    SqueezeExcite,
)
from delineate.methods.contract import PAPER, READING, Batch, Context, MethodInfo, MethodOptions, Panel
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.nn.blocks import crop, known, pad_to_multiple, resize, size_of
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.normalize import Normalization, make_normalize
from delineate.nn.segmentation_loss import LossOptions, segmentation_loss

__all__ = ["CMAformer", "CMAformerOptions"]

_STEP = 32
"""The transformer sees the image at this fraction of its size."""
_GRID = 16
"""Side of the grid of learned positions: that of images of 512×512 pixels."""


class CMAformerOptions(MethodOptions):
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        (16, 32, 64, 128, 256, 512),
        description="channels at full size, and after each halving; the last is the transformer's",
        json_schema_extra=PAPER,
    )
    heads: PositiveInt = Field(8, description="of each attention", json_schema_extra=PAPER)
    layers: int = Field(
        3, ge=1, description="of the transformer's encoder, and of its decoder", json_schema_extra=PAPER
    )
    positions: bool = Field(
        True,
        description="the transformer's tokens have learned positions, interpolated to the image's size",
        json_schema_extra=READING,
    )
    tokens: Literal["pixels", "as-released"] = Field(
        "pixels",
        description="as-released: as in the authors' code patch tokens become a map without being transposed, which scrambles "
        "places and channels, and attention is over the images of a batch",
        json_schema_extra=READING,
    )
    normalize: Normalization = Field(
        "none",
        description="mean and standard deviation taken off the image: imagenet, none, or {mean: [...], std: [...]}",
        json_schema_extra=READING,
    )
    loss: LossOptions = Field(
        LossOptions(cross_entropy=0.3, dice=0.5), description="weighted sum of losses", json_schema_extra=PAPER
    )


class CMAformer(DenseMethod):
    """Any image size: padded inside to a multiple of 32, cropped again."""

    info = MethodInfo(
        name="cmaformer",
        title="CMAformer",
        paper="Zheng, Li, Li et al.: Lagrange duality and compound multi-attention transformer for semi-supervised medical image "
        "segmentation, arXiv 2409.07793",
        year=2024,
        min_size=32,
        export_form="multiple",
        learns_regions=True,
    )
    Options = CMAformerOptions
    options: CMAformerOptions

    def __init__(self, options: CMAformerOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        if options.widths[-1] % options.heads:
            raise RecipeError(
                f"method 'cmaformer': the last of widths, {options.widths[-1]}, is not a multiple of heads, {options.heads}"
            )
        if options.normalize == "auto":
            raise RecipeError(
                "method 'cmaformer': normalize: auto is of pretrained weights; choose none, imagenet or numbers"
            )
        w0, w1, w2, w3, w4, w5 = options.widths
        self.normalize = make_normalize(in_channels, options.normalize)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, w0, 3, padding=1), nn.BatchNorm2d(w0), nn.ReLU(), nn.Conv2d(w0, w0, 3, padding=1)
        )
        self.stem_shortcut = nn.Conv2d(in_channels, w0, 3, padding=1)
        self.embeddings = nn.ModuleList([PatchEmbedding(w0, w1), PatchEmbedding(w2, w3), PatchEmbedding(w4, w5)])
        self.gates = nn.ModuleList([SqueezeExcite(w1), SqueezeExcite(w3), SqueezeExcite(w5)])
        self.convs = nn.ModuleList([PreActivation(w1, w2, 2), PreActivation(w3, w4, 2), PreActivation(w5, w5)])
        self.positions = nn.Parameter(torch.zeros(1, w5, _GRID, _GRID)) if options.positions else None
        self.encoder_layers = nn.ModuleList(EncoderLayer(w5, options.heads) for _ in range(options.layers))
        self.bridge = DilatedConvs(w5, w5)
        self.decoder_layers = nn.ModuleList(DecoderLayer(w5, options.heads) for _ in range(options.layers))
        self.cross_gates = nn.ModuleList([CrossGate(w5, w5, w5), CrossGate(w4, w4, w4), CrossGate(w2, w3, w3)])
        self.up_convs = nn.ModuleList(
            [PreActivation(w5 + w4, w4), PreActivation(w4 + w2, w3), PreActivation(w3 + w0, w1)]
        )
        self.last = DilatedConvs(w1, w0)
        self.head = nn.Conv2d(w0, classes, 1)
        for layer in (*self.encoder_layers, *self.decoder_layers):
            layer.attention.batch_first = options.tokens == "pixels"

    def encode(self, image: Tensor) -> FeatureMaps:
        x = self.normalize(pad_to_multiple(image, _STEP))
        maps = [self.stem(x) + self.stem_shortcut(x)]
        for embedding, gate, conv in zip(self.embeddings, self.gates, self.convs, strict=True):
            maps.append(conv(gate(self._as_map(*embedding(maps[-1])))))
        return FeatureMaps(maps, size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        *finer, coarsest = maps.levels
        x = self._transformed(coarsest)
        for encoded, skip, gate, conv in zip(
            reversed(maps.levels), reversed(finer), self.cross_gates, self.up_convs, strict=False
        ):
            x = conv(torch.cat((resize(gate(encoded, x), skip.shape[-2:]), skip), 1))
        return crop(self.head(self.last(x)), maps.size)

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return (self.head,)

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return segmentation_loss(self(batch["image"]), self.output.target(batch["mask"]), self.options.loss)

    def deploy(self) -> nn.Module:
        return fold_batchnorm(self)

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability`: of any foreground class."""
        return {"probability": Panel("heat", self.output.foreground(self(batch["image"])))}

    def _as_map(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Tokens B×N×C → B×C×height×width."""
        if self.options.tokens == "as-released":
            return tokens.reshape(tokens.shape[0], -1, height, width)
        return _to_map(tokens, height, width)

    def _transformed(self, x: Tensor) -> Tensor:
        """Encoder layers, dilated convolutions, decoder layers that look at the encoder's tokens. B×C×h×w → the same shape."""
        height, width = x.shape[-2:]
        if self.positions is not None:
            x = x + F.interpolate(self.positions, (height, width), mode="bilinear", align_corners=False)
        tokens = x.flatten(2).mT
        for layer in self.encoder_layers:
            tokens = layer(tokens)
        encoded = tokens
        tokens = self.bridge(_to_map(tokens, height, width)).flatten(2).mT
        for layer in self.decoder_layers:
            tokens = layer(tokens, encoded)
        return _to_map(tokens, height, width)


def _to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """B×N×C → B×C×height×width. In a graph for any size, whose exporter asks for the order in memory, in plain order."""
    found = tokens.mT.reshape(tokens.shape[0], -1, height, width)
    return found if known(height, width) else found.contiguous()
