"""MC-Net+: decoders that differ in how they raise the resolution learn to agree with each other's sharpened probabilities.

Wu, Ge, Zhang, Xu, Zhang, Xia, Cai: "Mutual consistency learning for semi-supervised medical image segmentation", Medical Image
Analysis 2022, arXiv 2109.09960 (three decoders); with two decoders "Semi-supervised left atrium segmentation with mutual
consistency training", MICCAI 2021, arXiv 2103.02911. Where decoders disagree the masks do not decide; sharpening makes each
choose, and the squared difference pulls the others there, also on images without masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.methods.contract import PAPER, READING, Batch, Context, MethodInfo, MethodOptions, Panel
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.encoder_options import NORMALIZE
from delineate.nn.blocks import crop, pad_to_multiple, resize, size_of
from delineate.nn.encoders.encoder import Encoder
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.encoders.sources import check_pretrained, expected_normalization, normalization_remarks
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.normalize import Normalization, make_normalize
from delineate.nn.plain_encoder import DoubleConv, PlainEncoder
from delineate.nn.ramps import sigmoid_ramp
from delineate.nn.segmentation_loss import LossOptions, labeled_segmentation_loss
from delineate.nn.sharpen import sharpen

__all__ = ["Decoder", "MCNet", "MCNetOptions"]

_Up = Literal["bilinear", "transposed", "nearest"]


class MCNetOptions(MethodOptions):
    encoder: EncoderOptions | None = Field(
        None,
        description="timm network and its first weights; null: the paper's own encoder of plain convolutions",
        json_schema_extra=PAPER,
    )
    normalize: Normalization = Field("auto", description=NORMALIZE, json_schema_extra=READING)
    widths: tuple[PositiveInt, ...] = Field(
        (16, 32, 64, 128, 256),
        min_length=2,
        max_length=7,
        description="channels of each level of the paper's own encoder, the finest first",
        json_schema_extra=PAPER,
    )
    dropout: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.05, 0.1, 0.2, 0.3, 0.5), description="of each of these levels", json_schema_extra=PAPER
    )
    decoders: tuple[_Up, ...] = Field(
        ("bilinear", "transposed", "nearest"),
        min_length=1,
        description="how each decoder doubles the resolution; the first is the model's",
        json_schema_extra=PAPER,
    )
    consistency: float = Field(
        0.1,
        ge=0,
        description="weight of the decoders' agreement; 0: images without masks are not used",
        json_schema_extra=PAPER,
    )
    ramp: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of training in which that weight rises, as exp(−5 (1 − t)²); 0 = it is there at once",
        json_schema_extra=PAPER,
    )
    temperature: float = Field(0.1, gt=0, le=1, description="of the sharpening; 1: none", json_schema_extra=PAPER)
    loss: LossOptions = Field(
        LossOptions(cross_entropy=0), description="weighted sum of losses of each decoder", json_schema_extra=PAPER
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.dropout) != len(self.widths):
            raise ValueError(
                f"dropout has {len(self.dropout)} values, and widths {len(self.widths)}; give one for each level"
            )
        if self.normalize == "auto":
            # Options are frozen for their users; this is still their making.
            plain: Normalization = "none" if self.encoder is None else expected_normalization(self.encoder)
            object.__setattr__(self, "normalize", plain)
        return self

    def check_available(self) -> None:
        if self.encoder is not None:
            check_pretrained(self.encoder)

    def remarks(self) -> list[str]:
        return [] if self.encoder is None else normalization_remarks(self.encoder, self.normalize)


class UpBlock(nn.Module):
    """To twice the resolution and the skip's width, joined with the skip, two convolutions: B×in×h×w → B×width×2h×2w."""

    def __init__(self, in_channels: int, skip_channels: int, width: int, up: _Up) -> None:
        super().__init__()
        self.up = up
        if up == "transposed":
            self.enlarge: nn.Module = nn.ConvTranspose2d(in_channels, width, 2, stride=2)
        else:
            self.enlarge = nn.Conv2d(in_channels, width, 1)
        self.conv = DoubleConv(skip_channels + width, width)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.enlarge(x)
        size = (2 * x.shape[-2], 2 * x.shape[-1])
        if self.up == "bilinear":
            x = resize(x, size, align_corners=True)
        elif self.up == "nearest":
            x = F.interpolate(x, size, mode="nearest")
        return self.conv(x if skip is None else torch.cat((skip, x), 1))


class Decoder(nn.Module):
    """From the coarsest map to logits, doubling the resolution; each level as wide as the encoder's map there."""

    def __init__(self, encoder: Encoder | PlainEncoder, up: _Up, classes: int) -> None:
        super().__init__()
        skips = dict(zip(encoder.reductions[:-1], encoder.channels[:-1], strict=True))
        self.reductions = [2**level for level in reversed(range(encoder.reductions[-1].bit_length() - 1))]
        wide, blocks = encoder.channels[-1], []
        for reduction in self.reductions:
            width = skips.get(reduction, min(encoder.channels))
            blocks.append(UpBlock(wide, skips.get(reduction, 0), width, up))
            wide = width
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(wide, classes, 3, padding=1)

    def forward(self, maps: Mapping[int, Tensor]) -> Tensor:
        """`maps`: reduction → feature map. Result: B×K×H×W."""
        x = maps[max(maps)]
        for reduction, block in zip(self.reductions, self.blocks, strict=True):
            x = block(x, maps.get(reduction))
        return self.head(x)


class MCNet(DenseMethod):
    """One encoder, several decoders in training, the first of them in the model."""

    info = MethodInfo(
        name="mc-net",
        title="MC-Net+",
        paper="Wu et al.: Mutual consistency learning for semi-supervised medical image segmentation, Medical Image Analysis 2022, "
        "arXiv 2109.09960",
        year=2022,
        min_size=32,
        export_form="any",
        checkpoint_modules=("encoder", "decoders"),
        uses_unlabeled=True,
        learns_regions=True,
    )
    Options = MCNetOptions
    options: MCNetOptions

    def __init__(self, options: MCNetOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.normalize = make_normalize(in_channels, options.normalize)
        self.encoder: Encoder | PlainEncoder = (
            PlainEncoder(in_channels, options.widths, options.dropout)
            if options.encoder is None
            else Encoder(options.encoder.name, in_channels=in_channels)
        )
        self.decoders = nn.ModuleList(Decoder(self.encoder, up, classes) for up in options.decoders)
        self._step = max(self.encoder.step, self.encoder.reductions[-1])

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        return bool(options.consistency > 0 and len(options.decoders) > 1)

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        if self.options.encoder is None or not isinstance(self.encoder, Encoder):
            return {}
        origin = self.encoder.load_pretrained(self.options.encoder.pretrained)
        return {} if origin is None else {"encoder": origin}

    def encode(self, image: Tensor) -> FeatureMaps:
        return FeatureMaps(self.encoder(self.normalize(pad_to_multiple(image, self._step))), size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        return self._decoded(maps, self.decoders[0])

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return tuple(decoder.head for decoder in self.decoders)  # type: ignore[misc]

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        maps, target = self.encode(batch["image"]), self.output.target(batch["mask"])
        logits = [self._decoded(maps, decoder) for decoder in self.decoders]
        each = [labeled_segmentation_loss(one, target, batch["labeled"], self.options.loss) for one in logits]
        share = ctx.weight_of_part(batch["labeled"])
        found = {name: share * torch.stack([terms[name] for terms in each]).sum() for name in each[0]}
        if self.uses_unlabeled(self.options):
            found["consistency"] = self._weight(ctx) * self._disagreement(logits)
        return found

    def deploy(self) -> nn.Module:
        """The encoder and the first decoder, BatchNorm folded."""
        lean = fold_batchnorm(self)
        assert isinstance(lean, MCNet)
        lean.decoders = lean.decoders[:1]
        return lean

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability`: of any foreground class. `disagreement`: the largest difference of two decoders' foreground."""
        maps = self.encode(batch["image"])
        found = torch.stack([self.output.foreground(self._decoded(maps, decoder)) for decoder in self.decoders])
        return {"probability": Panel("heat", found[0]), "disagreement": Panel("heat", found.amax(0) - found.amin(0))}

    def _decoded(self, maps: FeatureMaps, decoder: nn.Module) -> Tensor:
        return crop(decoder(dict(zip(self.encoder.reductions, maps.levels, strict=True))), maps.size)

    def _disagreement(self, logits: list[Tensor]) -> Tensor:
        """Of each decoder from each other's sharpened probabilities, summed over the pairs; both sides learn."""
        found = [self.output.probabilities(one) for one in logits]
        sharp = [sharpen(one, self.options.temperature) for one in found]
        return torch.stack([(found[i] - sharp[j]).square().mean() for i, j in permutations(range(len(found)), 2)]).sum()

    def _weight(self, ctx: Context) -> float:
        return self.options.consistency * sigmoid_ramp(ctx.progress, self.options.ramp)
