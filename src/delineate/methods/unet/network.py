"""U-Net with a timm encoder.

Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv 1505.04597; in its present-day form: an encoder made for image classification, a decoder that doubles the resolution
level by level, padded convolutions with batch normalization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.methods.contract import Batch, Context, MethodInfo, Panel
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.encoder_options import EncoderMethodOptions
from delineate.nn.blocks import ConvBNAct, crop, pad_to_multiple, size_of
from delineate.nn.encoders.encoder import Encoder, pyramid
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.normalize import make_normalize
from delineate.nn.segmentation_loss import LossOptions, segmentation_loss
from delineate.nn.upsample_conv import upsample_concat_conv

__all__ = ["Decoder", "DecoderBlock", "UNet", "UNetOptions"]

_Up = Literal["nearest", "bilinear"]


class UNetOptions(EncoderMethodOptions):
    """Options of U-Net; all are this project's choice, since the baseline follows no single paper."""

    encoder: EncoderOptions = Field(EncoderOptions(name="resnet34"), description="timm network and its first weights")
    decoder_channels: tuple[PositiveInt, ...] = Field(
        (256, 128, 64, 32, 16),
        min_length=2,
        max_length=6,
        description="width of each decoder level, coarsest first; n of them reach down to 1/2^n of the image's size",
    )
    up: _Up = Field("nearest", description="how the decoder doubles the resolution")
    loss: LossOptions = Field(LossOptions(), description="weighted sum of losses")


class DecoderBlock(nn.Module):
    """Upsample to twice the resolution, concatenate the skip connection, convolve twice.

    `forward(x, skip)`: B×in×h×w and B×skip×2h×2w (None where `skip_channels` is 0) → B×out×2h×2w.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, up: _Up) -> None:
        super().__init__()
        self.up = up
        self.conv1 = ConvBNAct(in_channels + skip_channels, out_channels)
        self.conv2 = ConvBNAct(out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        if self.up == "nearest":
            x = self.conv1.act(self.conv1.norm(upsample_concat_conv(self.conv1.conv, x, skip)))
        else:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.conv1(x if skip is None else torch.cat((x, skip), 1))
        return self.conv2(x)


class Decoder(nn.Module):
    """One block per doubling, from the coarsest feature map to full size; levels without an encoder map have no skip."""

    def __init__(self, encoder: Encoder, widths: tuple[int, ...], up: _Up) -> None:
        super().__init__()
        skips = dict(zip(encoder.reductions[:-1], encoder.channels[:-1], strict=True))
        self.reductions = [2**level for level in reversed(range(len(widths)))]
        ins = (encoder.channels[-1], *widths[:-1])
        self.blocks = nn.ModuleList(
            DecoderBlock(wide, skips.get(reduction, 0), out, up)
            for wide, reduction, out in zip(ins, self.reductions, widths, strict=True)
        )

    def forward(self, maps: dict[int, Tensor]) -> Tensor:
        """`maps`: reduction → feature map. Result: B×widths[-1]×H×W."""
        x = maps[max(maps)]
        for reduction, block in zip(self.reductions, self.blocks, strict=True):
            x = block(x, maps.get(reduction))
        return x


class UNet(DenseMethod):
    """Normalization → encoder → decoder → 3×3 convolution to K logits. Any image size: padded inside, cropped again."""

    info = MethodInfo(
        name="unet",
        title="U-Net",
        paper="Ronneberger, Fischer, Brox: U-Net, MICCAI 2015, arXiv 1505.04597 (baseline with a timm encoder)",
        year=2015,
        min_size=32,
        export_form="any",
        checkpoint_modules=("encoder", "decoder"),
        learns_regions=True,
    )
    Options = UNetOptions
    options: UNetOptions

    def __init__(self, options: UNetOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        depth = len(options.decoder_channels)
        self.normalize = make_normalize(in_channels, options.normalize)
        self.encoder = Encoder(options.encoder.name, in_channels=in_channels, levels=_levels(options))
        self.decoder = Decoder(self.encoder, options.decoder_channels, options.up)
        self.head = nn.Conv2d(options.decoder_channels[-1], classes, 3, padding=1)
        self._step = max(2**depth, self.encoder.step)

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        origin = self.encoder.load_pretrained(self.options.encoder.pretrained)
        return {} if origin is None else {"encoder": origin}

    def encode(self, image: Tensor) -> FeatureMaps:
        return FeatureMaps(self.encoder(self.normalize(pad_to_multiple(image, self._step))), size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        x = self.decoder(dict(zip(self.encoder.reductions, maps.levels, strict=True)))
        return crop(self.head(x), maps.size)

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return (self.head,)

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return segmentation_loss(self(batch["image"]), self.output.target(batch["mask"]), self.options.loss)

    def deploy(self) -> nn.Module:
        return fold_batchnorm(self)

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability`: of any foreground class."""
        return {"probability": Panel("heat", self.output.foreground(self(batch["image"])))}


def _levels(options: UNetOptions) -> int:
    """How many of the encoder's maps the decoder uses: those down to 1/2^n. Raises `RecipeError` where none is 1/2^n."""
    coarsest = 2 ** len(options.decoder_channels)
    reductions = pyramid(options.encoder.name)
    if coarsest not in reductions:
        raise RecipeError(
            f"method 'unet': decoder_channels: {len(options.decoder_channels)} levels need a feature map of 1/{coarsest}, but "
            f"encoder '{options.encoder.name}' gives {', '.join(f'1/{r}' for r in reductions)}"
        )
    return max(i for i, reduction in enumerate(reductions) if reduction == coarsest) + 1
