"""ConDSeg: contrast-driven feature enhancement.

Mengqi Lei, Haochen Wu, Xinhua Lv, Xin Wang: "ConDSeg: A General Medical Image Segmentation Framework via Contrast-Driven
Feature Enhancement", AAAI 2025, arXiv 2412.08345. Written from the paper; readings are named in `card.md`.

Four ideas in the order in which data meets them: Consistency Reinforcement (stage I, `consistency`), Semantic Information
Decoupling (`sid`), Contrast-Driven Feature Aggregation (`cdfa`), Size-Aware Decoder (`decoder`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from delineate.common.errors import RecipeError, TrainingError
from delineate.data.core.soft_mask import NO_TARGETS, Targets
from delineate.methods.condseg.cdfa import ContrastAggregation
from delineate.methods.condseg.consistency import ReinforcementHead
from delineate.methods.condseg.decoder import SizeAwareDecoder
from delineate.methods.condseg.dilated import DilatedBlock
from delineate.methods.condseg.objective import (
    Beta,
    LossInput,
    Maps,
    mask_loss,
    reinforcement_terms,
    segmentation_terms,
)
from delineate.methods.condseg.sid import AuxiliaryHead, Preparation, Size, branch
from delineate.methods.contract import (
    PAPER,
    READING,
    Batch,
    Context,
    MethodInfo,
    Panel,
    Stage,
    Update,
)
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.encoder_options import NORMALIZE, EncoderMethodOptions
from delineate.nn.blocks import size_of
from delineate.nn.class_weights import DESCRIPTION, ClassWeights
from delineate.nn.encoders.encoder import Encoder
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.losses import Pool
from delineate.nn.normalize import Normalization, make_normalize
from delineate.nn.views.strong import StrongView

__all__ = ["LEVELS", "ConDSeg", "ConDSegOptions"]

LEVELS = 4


class ConDSegOptions(EncoderMethodOptions):
    """Options of ConDSeg. `origin` says what the paper states and what is this project's reading."""

    encoder: EncoderOptions = Field(
        EncoderOptions(name="resnet50"), description="timm network with four levels or more", json_schema_extra=PAPER
    )
    width: int = Field(128, ge=8, description="channels of every level after the encoder", json_schema_extra=PAPER)
    heads: int = Field(
        4, ge=1, description="attention heads of the aggregation; they divide the width", json_schema_extra=PAPER
    )
    gate_units: int = Field(
        1,
        ge=1,
        description="least hidden units of a channel gate, which has width/16; with one unit a third to half of the gates are "
        "dead from the start",
        json_schema_extra=READING,
    )
    normalize: Normalization = Field(
        "auto",
        description=f"{NORMALIZE}; the authors' code has none",
        json_schema_extra=READING,
    )
    beta: Beta = Field(
        "one",
        description="weight of the auxiliary maps' losses: 1/tanh(coverage) with coverage summed over the batch "
        "(batch_sum, the released code), of each image bounded at .05 (per_image), or 1 (one)",
        json_schema_extra=READING,
    )
    detach_coverage: bool = Field(
        False, description="keep gradients out of the coverage in beta", json_schema_extra=READING
    )
    complement: LossInput = Field(
        "logits",
        description="softmax of the complementarity loss over logits, or over sigmoided maps as in the released code",
        json_schema_extra=READING,
    )
    loss_on: LossInput = Field(
        "logits",
        description="BCE and Dice of logits; or of probabilities as if they were logits, as in the released code: the sigmoid is "
        "then applied twice, and pixels that are surely wrong have almost no gradient",
        json_schema_extra=READING,
    )
    pool: Pool = Field(
        "image",
        description="Dice of each image, or of a whole batch (of each part of it that a process or micro-batch sees)",
        json_schema_extra=READING,
    )
    class_weights: ClassWeights = Field(
        None, description=f"of the mask's cross-entropy; {DESCRIPTION}", json_schema_extra=READING
    )
    soft_masks: bool = Field(
        False,
        description="train on masks that are resized and augmented by linear interpolation and stay soft, as in the released code",
        json_schema_extra=READING,
    )
    background_target: Literal["augmented", "unaugmented"] = Field(
        "augmented",
        description="mask that the background map learns from; unaugmented: that of the image before augmentation, the released "
        "code's slip",
        json_schema_extra=READING,
    )
    strong_per: Literal["image", "batch"] = Field(
        "image",
        description="stage I's strong view is drawn for each image, or once per batch",
        json_schema_extra=READING,
    )
    strong_blur: Literal["square", "vertical"] = Field(
        "square",
        description="blur of the strong view: a kernel of 1 to 7 pixels along both axes; or of 7 downwards and 1 across",
        json_schema_extra=READING,
    )
    validation_loss: Literal["all", "mask"] = Field(
        "all",
        description="stage I's validation loss, which steers schedule plateau: all terms, or the mask's alone",
        json_schema_extra=READING,
    )
    encoder_statistics: Literal["reinforcement", "initial"] = Field(
        "reinforcement",
        description="BatchNorm statistics with which the encoder begins stage II: those after stage I, or those before it, as in "
        "the released code, which takes over parameters alone",
        json_schema_extra=READING,
    )

    @model_validator(mode="after")
    def _one_dice_one_weight(self) -> Self:
        if self.pool == "batch" and self.beta == "per_image":
            raise ValueError(
                "pool: batch has one Dice for all images, which beta: per_image cannot weigh; choose another beta"
            )
        return self

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be divided among {self.heads} heads; choose a multiple")
        return self


class ConDSeg(DenseMethod):
    """`forward(image)`: B×C×H×W → mask logits B×K×H×W at any size ≥ 32.

    Every doubling of the paper goes to the size of the next encoder level (or the image), which is the same thing at sizes
    divisible by the encoder's step and leaves nothing misaligned at others.
    """

    info = MethodInfo(
        name="condseg",
        title="ConDSeg",
        paper="Lei, Wu, Lv, Wang: ConDSeg: A General Medical Image Segmentation Framework via Contrast-Driven Feature "
        "Enhancement, AAAI 2025, arXiv 2412.08345",
        year=2025,
        min_size=32,
        export_form="multiple",
        license_note="Written from the paper. The authors' code, by which imported weights were trained, is for research and "
        "education only.",
        checkpoint_modules=(
            "encoder",
            *(f"{part}.{level}" for part in ("dilated", "aggregation") for level in range(LEVELS)),
            "decoder",
        ),
        learns_regions=True,
    )
    Options = ConDSegOptions
    options: ConDSegOptions

    def __init__(self, options: ConDSegOptions, *, classes: int, in_channels: int) -> None:
        if options.soft_masks and classes > 1:
            raise RecipeError(
                "method.soft_masks: soft masks are of one foreground class, and these data have several; give "
                "--set method.soft_masks=false"
            )
        super().__init__(options, classes=classes, in_channels=in_channels)
        width = options.width
        self.normalize = make_normalize(in_channels, options.normalize)
        self.encoder = Encoder(options.encoder.name, in_channels=in_channels, levels=LEVELS)
        channels, deepest = self.encoder.channels, self.encoder.channels[-1]
        self.reinforcement = ReinforcementHead(channels, max(1, width // 2), classes)
        self.dilated = nn.ModuleList(DilatedBlock(count, width, options.gate_units) for count in channels)
        self.semantic = nn.ModuleDict(
            {name: branch(deepest, width) for name in ("foreground", "background", "uncertainty")}
        )
        doublings = LEVELS - 1 + self.encoder.reductions[0].bit_length() - 1
        self.auxiliary = nn.ModuleDict({name: AuxiliaryHead(width, doublings) for name in self.semantic})
        self.prepare_foreground, self.prepare_background = (
            nn.ModuleList(Preparation(width, LEVELS - 1 - level) for level in range(LEVELS)) for _ in range(2)
        )
        self.aggregation = nn.ModuleList(
            ContrastAggregation(width if level == LEVELS - 1 else 2 * width, width, options.heads)
            for level in range(LEVELS)
        )
        self.decoder = SizeAwareDecoder(width, classes, options.gate_units)

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        origin = self.encoder.load_pretrained(self.options.encoder.pretrained)
        return {} if origin is None else {"encoder": origin}

    def encode(self, image: Tensor) -> FeatureMaps:
        return FeatureMaps(self.encoder(self.normalize(image)), size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        """Stage II's mask; stage I has a head of its own (`encoder_logits`)."""
        foreground, background = (self.semantic[name](maps.levels[-1]) for name in ("foreground", "background"))
        return self._mask(maps.levels, foreground, background, maps.size)

    def maps(self, image: Tensor) -> Maps:
        """The mask and the three auxiliary maps, as logits at the image's size."""
        maps = self.encoder(self.normalize(image))
        features = {name: part(maps[-1]) for name, part in self.semantic.items()}
        mask = self._mask(maps, features["foreground"], features["background"], size_of(image))
        sizes = self._upsampling_sizes(maps, image)
        return Maps(mask, **{name: head(features[name], sizes) for name, head in self.auxiliary.items()})

    def encoder_logits(self, image: Tensor) -> Tensor:
        """Stage I's prediction from the bare encoder: B×K×H×W."""
        return self.reinforcement(self.encoder(self.normalize(image)), size_of(image))

    def stages(self) -> tuple[Stage, ...]:
        second = tuple(name for name, _ in self.named_children() if name != "reinforcement")
        return (
            Stage(
                "reinforcement",
                share=0.25,
                updates=(Update(modules=("encoder", "reinforcement")),),
                logits="encoder_logits",
                hands_on="all" if self.options.encoder_statistics == "reinforcement" else "parameters",
            ),
            Stage("segmentation", share=0.75, updates=(Update(modules=second),)),
        )

    @classmethod
    def targets(cls, options: ConDSegOptions) -> Targets:
        return Targets(soft=options.soft_masks, unaugmented=options.background_target == "unaugmented")

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return (self.decoder.logits,)

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        image, options = batch["image"], self.options
        wanted = self.targets(options) if self.training else NO_TARGETS
        target = _given(batch, "target") if wanted.soft else self.output.target(batch["mask"])
        if ctx.stage == "reinforcement":
            return self._reinforcement(image, target, ctx)
        return segmentation_terms(
            self.maps(image),
            target,
            self.output,
            beta=options.beta,
            detach_coverage=options.detach_coverage,
            complement=options.complement,
            on=options.loss_on,
            pool=options.pool,
            against_background=_given(batch, "unaugmented_target") if wanted.unaugmented else None,
            class_weights=options.class_weights,
        )

    def _reinforcement(self, image: Tensor, target: Tensor, ctx: Context) -> dict[str, Tensor]:
        loss: dict[str, Any] = {
            "on": self.options.loss_on,
            "pool": self.options.pool,
            "class_weights": self.options.class_weights,
        }
        plain = self.encoder_logits(image)
        if not self.training and self.options.validation_loss == "mask":
            return {"mask": mask_loss(plain, target, self.output, **loss)}
        strong = self.encoder_logits(self._strong_view(image, ctx))
        return reinforcement_terms(plain, strong, target, self.output, **loss)

    def _strong_view(self, image: Tensor, ctx: Context) -> Tensor:
        """In eval mode the same draw for every image and call, so that validation losses can be compared and do not depend on the
        batches."""
        drawn: dict[str, Any] = {"per": self.options.strong_per}
        if self.options.strong_blur == "vertical":
            drawn |= {"blur": "vertical", "sides": (7,)}
        if self.training:
            return StrongView.draw(image, ctx.generator, **drawn).image(image)
        views: list[Tensor] = []
        for single in torch.split(image, 1):
            generator = torch.Generator(image.device).manual_seed(0)
            views.append(StrongView.draw(single, generator, **drawn).image(single))
        return torch.cat(views)

    def deploy(self) -> nn.Module:
        """Without what only training needs, BatchNorm folded, channels-last."""
        lean = copy.deepcopy(self)
        del lean.reinforcement, lean.auxiliary, lean.semantic["uncertainty"]
        return fold_batchnorm(lean).to(memory_format=torch.channels_last)

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """The three auxiliary maps as probabilities."""
        maps = self.maps(batch["image"])
        return {name: Panel("heat", getattr(maps, name).float().sigmoid()) for name in self.auxiliary}

    def _mask(self, maps: list[Tensor], foreground: Tensor, background: Tensor, size: Size) -> Tensor:
        levels: list[Tensor] = []
        deeper: Tensor | None = None
        for level in reversed(range(LEVELS)):
            sizes = [size_of(x) for x in reversed(maps[level:-1])]
            deeper = self.aggregation[level](
                self.dilated[level](maps[level]),
                self.prepare_foreground[level](foreground, sizes),
                self.prepare_background[level](background, sizes),
                deeper,
            )
            levels.insert(0, deeper)
        return self.decoder(levels, size)

    def _upsampling_sizes(self, maps: list[Tensor], image: Tensor) -> list[Size]:
        """Sizes to which the deepest map is upsampled until it has the image's, one per doubling."""
        height, width = size_of(image)
        sizes = [size_of(x) for x in reversed(maps[:-1])]
        step = self.encoder.reductions[0] // 2
        while step > 1:
            sizes.append(((height + step - 1) // step, (width + step - 1) // step))
            step //= 2
        return [*sizes, (height, width)]


def _given(batch: Batch, name: Literal["target", "unaugmented_target"]) -> Tensor:
    """What these options learn from beside the mask. A strategy that makes batches of its own may have lost it."""
    if name not in batch:
        raise TrainingError(
            f"condseg: with these options it learns from '{name}', which the training strategy leaves out of its batches; use "
            "another strategy, or --set method.soft_masks=false --set method.background_target=augmented"
        )
    return batch[name]
