"""MS-LKSeg: multi-semantic synergistic learning with large kernel convolution.

Li, Niu, Wang et al.: "MS-LKSeg: enhancing multi-semantic synergistic learning with large kernel convolution for medical
image segmentation", Biomedical Signal Processing and Control 112 (2025) 108635. Written from the authors' figures and
abstract; readings are named in `card.md`.

A U: five levels of two synergy blocks each (`synergy`), a large kernel on each of the four skip connections (`skip`), and a
plain decoder (`decoder`).
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Self

import torch
from pydantic import Field, PositiveInt, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.common.errors import DataError
from delineate.methods.contract import PAPER, READING, Batch, Context, MethodInfo, MethodOptions, Panel
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.mslkseg.decoder import DecoderBlock, Merge, Up
from delineate.methods.mslkseg.objective import temperature, terms
from delineate.methods.mslkseg.skip import LargeKernelSkip, SkipForm
from delineate.methods.mslkseg.synergy import SynergyBlock
from delineate.nn.blocks import crop, pad_to_multiple, size_of
from delineate.nn.dynamic_conv import set_temperature
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.normalize import Normalization, make_normalize
from delineate.nn.segmentation_loss import LossOptions

__all__ = ["LEVELS", "SMALLEST", "STEP", "MSLKSeg", "MSLKSegOptions"]

LEVELS = 5
STEP = 2 ** (LEVELS - 1)
SMALLEST = 2 * STEP


class MSLKSegOptions(MethodOptions):
    """Options of MS-LKSeg. `origin` says what the authors state and what is this project's reading."""

    widths: tuple[PositiveInt, ...] = Field(
        (32, 64, 128, 256, 512),
        min_length=LEVELS,
        max_length=LEVELS,
        description="channels of the five levels, finest first",
        json_schema_extra=READING,
    )
    kernels: PositiveInt = Field(
        4, description="kernels of each dynamic convolution; 1 = a plain one", json_schema_extra=READING
    )
    reduction: float = Field(
        0.25, gt=0, description="hidden channels of the dynamic convolution's attention", json_schema_extra=READING
    )
    temperature: float = Field(
        30.0, ge=1, description="of the dynamic convolution's softmax at the start", json_schema_extra=READING
    )
    anneal: float = Field(
        0.1, ge=0, le=1, description="share of training in which the temperature falls to 1", json_schema_extra=READING
    )
    spatial_kernels: tuple[PositiveInt, ...] = Field(
        (3, 5, 7, 9), min_length=1, description="1-D kernels that height and width share", json_schema_extra=PAPER
    )
    heads: PositiveInt = Field(1, description="heads of the attention among channels", json_schema_extra=READING)
    window: PositiveInt = Field(
        7, description="pooling window before the attention among channels", json_schema_extra=READING
    )
    large_kernel: PositiveInt = Field(21, description="kernel of the skip connections", json_schema_extra=PAPER)
    small_kernel: PositiveInt = Field(3, description="kernel that learns beside it", json_schema_extra=PAPER)
    skip: SkipForm = Field(
        "normed", description="norms and activation of the skip's 1×1 convolutions", json_schema_extra=READING
    )
    up: Up = Field("bilinear", description="how the decoder doubles the resolution", json_schema_extra=READING)
    merge: Merge = Field("concat", description="how the decoder takes the skip connection", json_schema_extra=READING)
    normalize: Normalization = Field(
        "imagenet", description="mean and standard deviation taken off the image", json_schema_extra=READING
    )
    loss: LossOptions | None = Field(
        None,
        description="weighted sum of losses; unset: ½ BCE + Dice, with several classes cross-entropy + Dice",
        json_schema_extra=READING,
    )

    @field_validator("spatial_kernels", "large_kernel", "small_kernel")
    @classmethod
    def _odd(cls, value: int | tuple[int, ...]) -> int | tuple[int, ...]:
        sizes = value if isinstance(value, tuple) else (value,)
        for size in sizes:
            if size % 2 == 0:
                raise ValueError(f"a kernel of {size} pixels has no middle; choose an odd size")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for width in self.widths:
            if width % len(self.spatial_kernels):
                count = len(self.spatial_kernels)
                raise ValueError(
                    f"width {width} cannot be divided among the {count} spatial_kernels; choose multiples of {count}"
                )
            if width % self.heads:
                raise ValueError(f"width {width} cannot be divided among {self.heads} heads; choose a multiple")
        if self.small_kernel >= self.large_kernel:
            raise ValueError(f"small_kernel {self.small_kernel} must be smaller than large_kernel {self.large_kernel}")
        return self


class MSLKSeg(DenseMethod):
    """`forward(image)`: B×C×H×W → logits B×K×H×W at any size ≥ 32. Sizes that are no multiples of 16 are padded inside by
    repeating the edge, and cropped again. Raises `DataError` for a smaller image."""

    info = MethodInfo(
        name="mslkseg",
        title="MS-LKSeg",
        paper="Li, Niu, Wang et al.: MS-LKSeg: enhancing multi-semantic synergistic learning with large kernel convolution "
        "for medical image segmentation, Biomedical Signal Processing and Control 112 (2025) 108635",
        year=2025,
        min_size=SMALLEST,
        export_form="multiple",
        export_least=128,  # the pooling windows of 7 pixels, at a sixteenth of the size
        license_note="Written from the authors' figures and abstract; they published no code and no weights.",
        checkpoint_modules=(
            *(f"encoder.{level}" for level in range(LEVELS)),
            *(f"{part}.{level}" for part in ("skips", "decoder") for level in range(LEVELS - 1)),
        ),
        learns_regions=True,
    )
    Options = MSLKSegOptions
    options: MSLKSegOptions

    def __init__(self, options: MSLKSegOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        widths = options.widths
        self.normalize = make_normalize(in_channels, options.normalize)
        self.encoder = nn.ModuleList(
            _level(before, width, options) for before, width in pairwise((in_channels, *widths))
        )
        self.skips = nn.ModuleList(
            LargeKernelSkip(width, kernel=options.large_kernel, small_kernel=options.small_kernel, form=options.skip)
            for width in widths[:-1]
        )
        self.decoder = nn.ModuleList(
            DecoderBlock(below, width, up=options.up, merge=options.merge) for width, below in pairwise(widths)
        )
        self.head = nn.Conv2d(widths[0], classes, 1)
        set_temperature(self, options.temperature)

    def encode(self, image: Tensor) -> FeatureMaps:
        levels: list[Tensor] = []
        for level in self.encoder:
            levels.append(level(F.max_pool2d(levels[-1], 2) if levels else self._prepare(image)))
        return FeatureMaps(levels, size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        *finer, x = maps.levels
        for skip, block, features in reversed(list(zip(self.skips, self.decoder, finer, strict=True))):
            x = block(x, skip(features))
        return crop(self.head(x), maps.size)

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return (self.head,)

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return terms(self(batch["image"]), self.output.target(batch["mask"]), self.options.loss)

    def after_step(self, ctx: Context) -> None:
        """The temperature of the next step."""
        progress = (ctx.step + 1) / max(1, ctx.total_steps)
        start, share = self.options.temperature, self.options.anneal
        set_temperature(self, temperature(progress, start=start, share=share))

    def deploy(self) -> nn.Module:
        """Large and small kernels made one, BatchNorm folded, the temperature frozen, channels-last."""
        lean = copy.deepcopy(self).eval()
        for part in lean.modules():
            if isinstance(part, SynergyBlock | LargeKernelSkip):
                part.merge()
        return fold_batchnorm(lean).to(memory_format=torch.channels_last)

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability`: of any foreground class. `spatial_attention`: what the finest level's last MIE lets through, mean
        over channels. `large_kernel`: strength of what the finest skip's large kernel adds. Both over their own range."""
        image = batch["image"]
        probability = self.output.foreground(self(image))
        (first, second), skip = self.encoder[0].children(), self.skips[0]
        assert isinstance(second, SynergyBlock)
        assert isinstance(skip, LargeKernelSkip)
        before = first(self._prepare(image))
        rows, columns = second.spatial_gates(before)
        response = skip.response(second(before))
        return {
            "probability": Panel("heat", probability),
            "spatial_attention": Panel("heat", _stretched((rows * columns).mean(1, keepdim=True), image)),
            "large_kernel": Panel("heat", _stretched(response.abs().mean(1, keepdim=True), image)),
        }

    def _prepare(self, image: Tensor) -> Tensor:
        """Normalized, and padded to a multiple of the deepest level's step."""
        height, width = image.shape[-2:]
        if min(height, width) < SMALLEST:
            raise DataError(
                f"method 'mslkseg': an image of {height}×{width} pixels is too small for {LEVELS} levels: the smallest size is "
                f"{SMALLEST}×{SMALLEST}; choose a larger input.size"
            )
        return self.normalize(pad_to_multiple(image, STEP))


def _level(in_channels: int, width: int, options: MSLKSegOptions) -> nn.Sequential:
    """Two synergy blocks, of which the first changes the width."""
    return nn.Sequential(
        *(
            SynergyBlock(
                before,
                width,
                kernels=options.kernels,
                reduction=options.reduction,
                spatial_kernels=options.spatial_kernels,
                heads=options.heads,
                window=options.window,
            )
            for before in (in_channels, width)
        )
    )


def _stretched(x: Tensor, image: Tensor) -> Tensor:
    """B×1×h×w stretched per map to [0, 1], cropped to the image's size."""
    x = x.float()[..., : image.shape[-2], : image.shape[-1]]
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - low) / (high - low).clamp_min(1e-6)
