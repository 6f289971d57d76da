"""Options of MFEL. The abstract names the modules and describes none, so nearly all of it is this project's reading."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from delineate.methods.contract import PAPER, READING, MethodOptions
from delineate.nn.normalize import Normalization
from delineate.nn.segmentation_loss import LossOptions

__all__ = [
    "LEVELS",
    "FusionOptions",
    "MFELLossOptions",
    "MFELOptions",
    "MambaOptions",
    "ModulationOptions",
    "ReconstructionOptions",
]

LEVELS = 4


class MambaOptions(BaseModel):
    """The multi-branch vision mamba block (MVM)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branches: Literal[1, 2, 4] = Field(
        4, description="groups of channels, each with a scan of its own", json_schema_extra=READING
    )
    dilations: bool = Field(
        True,
        description="branch k looks through a depthwise 3×3 convolution of dilation k; false: dilation 1 in all",
        json_schema_extra=READING,
    )
    gate: bool = Field(True, description="channel gate after the branches", json_schema_extra=READING)
    state: PositiveInt = Field(16, description="N, numbers of state per channel of the scan", json_schema_extra=READING)
    ratio: float = Field(
        2.0, gt=0, description="inner width of the scan, in widths of a branch", json_schema_extra=READING
    )
    inner_gate: bool = Field(
        False,
        description="gate the scan's output by SiLU of a second projection (Mamba's z)",
        json_schema_extra=READING,
    )
    ffn_ratio: float = Field(
        2.0, ge=0, description="hidden width of the feed-forward after the scan; 0 = none", json_schema_extra=READING
    )


class ModulationOptions(BaseModel):
    """Adaptive feature modulation (AFM), in the reconstruction branch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["weights", "film", "none"] = Field(
        "weights",
        description="add foreground and background features by weights that sum to 1 per channel; predict a factor and a "
        "summand from both (film); leave the features as they are (none)",
        json_schema_extra=READING,
    )
    source: Literal["own", "coarse"] = Field(
        "own",
        description="foreground map: a 1×1 convolution of the features, or the coarse segmentation's probability",
        json_schema_extra=READING,
    )
    detach: bool = Field(
        True, description="the coarse segmentation does not learn from the reconstruction", json_schema_extra=READING
    )


class FusionOptions(BaseModel):
    """Bi-directional fusion (BFM), in the segmentation branch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["gate", "cross_attention", "sum", "none"] = Field(
        "gate",
        description="gated mixed attention; linear cross-attention; the sum of both features; nothing (none)",
        json_schema_extra=READING,
    )
    directions: Literal["both", "one-way"] = Field(
        "both",
        description="both; or from reconstruction to segmentation alone (one-way). For gate and cross_attention",
        json_schema_extra=PAPER,
    )
    heads: PositiveInt = Field(8, description="heads of the cross-attention", json_schema_extra=READING)


class ReconstructionOptions(BaseModel):
    """The reconstruction branch, and noise or masks on the image that it sees during training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth: NonNegativeInt = Field(
        1, description="3×3 convolutions per level after the one that halves the resolution", json_schema_extra=READING
    )
    noise: float = Field(
        0.0, ge=0, description="standard deviation of the noise on its input, in [0, 1]", json_schema_extra=READING
    )
    masked: float = Field(
        0.0, ge=0, lt=1, description="share of its input's squares that are masked", json_schema_extra=READING
    )
    patch: PositiveInt = Field(8, description="side of such a square in pixels", json_schema_extra=READING)


class MFELLossOptions(BaseModel):
    """L = segmentation + λ·reconstruction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segmentation: LossOptions = Field(
        LossOptions(), description="weighted sum of losses on the logits", json_schema_extra=READING
    )
    reconstruction: float = Field(0.5, ge=0, description="λ; 0 = no reconstruction is made", json_schema_extra=READING)
    kind: Literal["l1", "mse"] = Field(
        "l1", description="error of the reconstruction, mean over pixels", json_schema_extra=READING
    )
    ssim: float = Field(
        0.0, ge=0, description="α: adds α·(1 − structural similarity) to that error", json_schema_extra=READING
    )
    schedule: Literal["constant", "ramp"] = Field(
        "constant", description="λ as it is, or rising linearly from 0", json_schema_extra=READING
    )
    ramp: float = Field(
        0.3, gt=0, le=1, description="share of training after which λ is reached", json_schema_extra=READING
    )
    dynamic: bool = Field(
        False,
        description="weight both losses by how they fell over the last two steps",
        json_schema_extra=READING,
    )
    temperature: float = Field(
        2.0, gt=0, description="temperature of those weights' softmax: large = equal weights", json_schema_extra=READING
    )
    coarse: float = Field(
        0.4,
        ge=0,
        description="weight of the coarse segmentation's loss (afm.source: coarse)",
        json_schema_extra=READING,
    )


class MFELOptions(MethodOptions):
    """Options of MFEL. `origin` says what the authors state and what is this project's reading."""

    widths: tuple[PositiveInt, ...] = Field(
        (32, 64, 128, 256),
        min_length=LEVELS,
        max_length=LEVELS,
        description="channels of the four scales (1/4 to 1/32), finest first, in both branches",
        json_schema_extra=READING,
    )
    depths: tuple[NonNegativeInt, ...] = Field(
        (1, 1, 1, 1),
        min_length=LEVELS,
        max_length=LEVELS,
        description="MVM blocks of the segmentation encoder at each scale, finest first",
        json_schema_extra=READING,
    )
    decoder_depths: tuple[NonNegativeInt, ...] = Field(
        (1, 1, 1),
        min_length=LEVELS - 1,
        max_length=LEVELS - 1,
        description="MVM blocks of the segmentation decoder at the three finer scales, finest first",
        json_schema_extra=READING,
    )
    encoder: Literal["separate", "shared"] = Field(
        "separate", description="an encoder for each branch, or the segmentation's for both", json_schema_extra=READING
    )
    mvm: MambaOptions = Field(
        MambaOptions(), description="multi-branch vision mamba, in the segmentation branch", json_schema_extra=PAPER
    )
    afm: ModulationOptions = Field(
        ModulationOptions(),
        description="adaptive feature modulation of reconstruction features",
        json_schema_extra=PAPER,
    )
    bfm: FusionOptions = Field(
        FusionOptions(), description="fusion of both branches' features, at every scale", json_schema_extra=PAPER
    )
    reconstruction: ReconstructionOptions = Field(
        ReconstructionOptions(), description="the branch that reconstructs the image", json_schema_extra=PAPER
    )
    normalize: Normalization = Field(
        "imagenet", description="mean and standard deviation taken off the image", json_schema_extra=READING
    )
    loss: MFELLossOptions = Field(
        MFELLossOptions(), description="weights of the losses of both branches", json_schema_extra=READING
    )

    @property
    def reconstructs(self) -> bool:
        """Is there a reconstruction to learn from?"""
        return self.loss.reconstruction > 0

    @property
    def two_branches(self) -> bool:
        """Is there a reconstruction branch: does the loss or the segmentation need one?"""
        return self.reconstructs or self.bfm.kind != "none"

    @property
    def coarse(self) -> bool:
        """Does modulation need a coarse segmentation?"""
        return self.two_branches and self.afm.kind != "none" and self.afm.source == "coarse"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for width in self.widths:
            if width % self.mvm.branches:
                raise ValueError(
                    f"width {width} cannot be divided among {self.mvm.branches} branches of mvm; choose multiples"
                )
            if self.bfm.kind == "cross_attention" and width % self.bfm.heads:
                raise ValueError(
                    f"width {width} cannot be divided among {self.bfm.heads} heads of bfm; choose multiples"
                )
        if self.coarse and self.afm.detach and self.loss.coarse == 0:
            raise ValueError(
                "the coarse segmentation would learn from nothing: raise loss.coarse above 0 or turn afm.detach off"
            )
        if self.reconstruction.noise or self.reconstruction.masked:
            self._may_corrupt()
        return self

    def _may_corrupt(self) -> None:
        if not self.reconstructs:
            raise ValueError(
                "reconstruction.noise and .masked need a reconstruction: raise loss.reconstruction above 0"
            )
        if self.encoder == "shared":
            raise ValueError(
                "reconstruction.noise and .masked need encoder 'separate': a shared one would show them to the segmentation"
            )
