"""Residual-encoder U-Net with deep supervision, in the manner of nnU-Net's 2-D configuration.

Isensee, Jaeger, Kohl, Petersen, Maier-Hein: "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18, 2021 (arXiv 1904.08128); the residual encoder as in Isensee et al.: "nnU-Net revisited",
MICCAI 2024 (arXiv 2404.09556). Written from these papers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self, cast

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.data.doctor.fingerprint import Fingerprint
from delineate.methods.contract import (
    PAPER,
    Batch,
    Budget,
    Context,
    Decision,
    MethodInfo,
    MethodOptions,
    Panel,
)
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.resenc.planner import Planner
from delineate.nn.blocks import crop, pad_to_multiple, resize, size_of
from delineate.nn.deep_supervision import deep_supervision_loss
from delineate.nn.losses import IGNORE
from delineate.nn.normalize import Normalize, make_normalize
from delineate.nn.residual import ConvNormAct, ResidualBlock, initialize
from delineate.nn.segmentation_loss import LossOptions, segmentation_loss

__all__ = ["Decoder", "Encoder", "ResEnc", "ResEncOptions"]


class ResEncOptions(MethodOptions):
    """The network's form; the planner fills what a preset leaves open."""

    widths: tuple[PositiveInt, ...] = Field(
        (32, 64, 128, 256, 512, 512, 512),
        min_length=2,
        max_length=10,
        description="channels of each stage, finest first; each halves the resolution of the one before",
        json_schema_extra=PAPER,
    )
    blocks: tuple[PositiveInt, ...] = Field(
        (1, 3, 4, 6, 6, 6, 6), description="residual blocks of each encoder stage", json_schema_extra=PAPER
    )
    deep_supervision: bool = Field(
        True, description="loss at all resolutions but the two lowest", json_schema_extra=PAPER
    )
    mean: tuple[float, ...] | None = Field(
        None, description="taken off the image, one per channel; none: ImageNet's mean and deviation"
    )
    std: tuple[PositiveFloat, ...] | None = Field(None, description="the image is divided by it, one per channel")
    loss: LossOptions = Field(
        LossOptions(pool="batch", smooth=1e-5), description="weighted sum of losses", json_schema_extra=PAPER
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                f"{len(self.blocks)} entries in blocks, {len(self.widths)} in widths; they must be as many"
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither")
        return self


class Encoder(nn.Module):
    """A convolution, then stages of residual blocks; the first block of each but the first stage has stride 2.

    B×in×H×W → one map per stage, B×widths[s]×H/2^s×W/2^s, finest first.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvNormAct(in_channels, widths[0])
        self.stages = nn.ModuleList()
        for before, width, count in zip((widths[0], *widths[:-1]), widths, blocks, strict=True):
            first = ResidualBlock(before, width, stride=2 if len(self.stages) else 1)
            self.stages.append(nn.Sequential(first, *(ResidualBlock(width, width) for _ in range(count - 1))))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class Decoder(nn.Module):
    """Per stage: a 2×2 transposed convolution with stride 2, the encoder's map joined, one convolution block.

    The encoder's maps → one map per stage but the coarsest, of the encoder's width and size there, finest first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.ups = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairwise(widths))
        self.convs = nn.ModuleList(ConvNormAct(2 * width, width) for width in widths[:-1])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        x, result = maps[-1], []
        for up, conv, skip in reversed(list(zip(self.ups, self.convs, maps[:-1], strict=True))):
            x = conv(torch.cat((up(x), skip), 1))
            result.append(x)
        return result[::-1]


class ResEnc(DenseMethod):
    """Standardization → encoder → decoder → 1×1 convolutions to K logits. Any image size: padded inside, cropped again."""

    info = MethodInfo(
        name="resenc",
        title="ResEnc",
        paper="Isensee et al.: nnU-Net, Nature Methods 2021, arXiv 1904.08128; residual encoder: MICCAI 2024, arXiv 2404.09556",
        year=2021,
        min_size=32,
        export_form="any",
        couples_samples=True,
        checkpoint_modules=("encoder", "decoder"),
        learns_regions=True,
    )
    Options = ResEncOptions
    options: ResEncOptions

    def __init__(self, options: ResEncOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.normalize = _normalization(options, in_channels)
        self.encoder = Encoder(in_channels, options.widths, options.blocks)
        self.decoder = Decoder(options.widths)
        levels = max(1, len(options.widths) - 2) if options.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in options.widths[:levels])
        self._step = 2 ** (len(options.widths) - 1)
        initialize(self)

    @classmethod
    def plan(cls, fingerprint: Fingerprint, budget: Budget, given: Mapping[str, Any]) -> list[Decision]:
        return Planner(fingerprint, budget, given).decide()

    def encode(self, image: Tensor) -> FeatureMaps:
        # The loader's images are channels-last in memory. Contiguous ones take the memory layout of the weights, which is faster.
        padded = pad_to_multiple(image, self._step).contiguous()
        return FeatureMaps(self.encoder(self.normalize(padded)), size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        return crop(self.heads[0](self.decoder(maps.levels)[0]), maps.size)

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return tuple(cast(nn.Conv2d, head) for head in self.heads)

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        def loss(logits: Tensor, mask: Tensor) -> dict[str, Tensor]:
            return segmentation_loss(logits, mask, self.options.loss)

        logits = [head(x) for head, x in zip(self.heads, self._features(batch["image"]), strict=False)]
        return deep_supervision_loss(logits, self.output.target(self._padded(batch["mask"])), loss)

    def deploy(self) -> nn.Module:
        """Without the heads of deep supervision. Instance norm takes its statistics from each image: nothing to fold."""
        result = copy.deepcopy(self).eval().requires_grad_(False)
        result.heads = result.heads[:1]
        return result

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability` of any foreground class, and what the coarsest supervised level sees of it (`coarse`)."""
        height, width = batch["image"].shape[-2:]
        features = self._features(batch["image"])
        probability = self.output.foreground(self.heads[0](features[0])[..., :height, :width])
        panels = {"probability": Panel("heat", probability)}
        if len(self.heads) > 1:
            coarse = self.output.foreground(self.heads[-1](features[len(self.heads) - 1]))
            panels["coarse"] = Panel("heat", resize(coarse, features[0].shape[-2:])[..., :height, :width])
        return panels

    def _features(self, image: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.decoder(self.encode(image).levels)
        return maps

    def _padded(self, mask: Tensor) -> Tensor:
        height, width = mask.shape[-2:]
        return F.pad(mask, (0, -width % self._step, 0, -height % self._step), value=IGNORE)


def _normalization(options: ResEncOptions, in_channels: int) -> nn.Module:
    if options.mean is None or options.std is None:
        return make_normalize(in_channels, "imagenet")
    if not len(options.mean) == len(options.std) == in_channels:
        raise RecipeError(
            f"method 'resenc': mean and std: {len(options.mean)} and {len(options.std)} values given for {in_channels} "
            f"channel{'s' if in_channels > 1 else ''}"
        )
    return Normalize(options.mean, options.std)
