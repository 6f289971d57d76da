"""Options of IPSL. `origin` says what the paper's abstract states and what is this project's reading."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from delineate.methods.contract import PAPER, READING
from delineate.methods.encoder_options import NORMALIZE, EncoderMethodOptions
from delineate.methods.ipsl.encoding import HEADS, EncodingKind
from delineate.methods.ipsl.interaction import PeakKind
from delineate.methods.ipsl.self_learning import SelfLearningOptions
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.normalize import Normalization

__all__ = ["IPSLLossOptions", "IPSLOptions"]


class IPSLLossOptions(BaseModel):
    """A weighted sum of losses; a term with weight 0 is not computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cross_entropy: float = Field(1.0, gt=0, description="weight of the final mask's cross-entropy")
    dice: float = Field(1.0, ge=0, description="weight of the final mask's Dice")
    coarse: float = Field(1.0, ge=0, description="weight of the mask by the support's prototypes (cross-entropy)")
    interactive: float = Field(1.0, ge=0, description="weight of the mask by prototypes of both images (cross-entropy)")
    refined: float = Field(1.0, ge=0, description="weight of the mask by the query's own prototypes (cross-entropy)")
    alignment: float = Field(
        1.0, ge=0, description="weight of the support's masks by prototypes of the query (cross-entropy)"
    )
    contrast: float = Field(
        0.1, ge=0, description="weight of the contrast between classes, of prototypes of both images"
    )
    temperature: float = Field(0.1, gt=0, description="of the contrast")
    auxiliary: float = Field(
        0.4,
        ge=0,
        description="weight of the auxiliary head on high features (cross-entropy): half query, half support",
    )
    class_weights: tuple[float, float] = Field(
        (0.05, 1.0), description="background and foreground, in every cross-entropy"
    )


class IPSLOptions(EncoderMethodOptions):
    """Options of IPSL. Parts that are switched off are not built."""

    encoder: EncoderOptions = Field(
        EncoderOptions(name="resnet101"),
        description="timm network with four feature maps or more",
        json_schema_extra=READING,
    )
    output_stride: Literal[8, 16] | None = Field(
        8,
        description="the last stages dilated instead of strided, so that this resolution is kept; null: as the encoder is",
        json_schema_extra=READING,
    )
    normalize: Normalization = Field("auto", description=f"{NORMALIZE}; off all images", json_schema_extra=READING)
    width: int = Field(256, ge=4, description="channels of the middle and the high level", json_schema_extra=READING)
    encode_decode: EncodingKind = Field(
        "u",
        description="deep encoding-decoding of high features: two halvings and doublings, parallel dilations, a two-layer "
        "transformer, or none",
        json_schema_extra=PAPER,
    )
    bottleneck_attention: bool = Field(
        False, description="u: self-attention at its coarsest grid", json_schema_extra=READING
    )
    mean: bool = Field(True, description="mean prototypes from the middle level", json_schema_extra=PAPER)
    peak: PeakKind = Field(
        "top_k",
        description="peak prototypes from the high level: mean of each channel's highest values, each channel's maximum, the "
        "strongest pixel, every pixel; or no high level",
        json_schema_extra=PAPER,
    )
    peak_share: float = Field(0.1, ge=0, le=1, description="top_k: share of the pixels", json_schema_extra=READING)
    interaction: Literal["attention", "average", "none"] = Field(
        "attention",
        description="how prototypes of support and query are joined: attention within a class, half of each, not at all",
        json_schema_extra=PAPER,
    )
    heads: int = Field(HEADS, ge=1, description="heads of that attention", json_schema_extra=READING)
    prototypes: Literal["fused", "support"] = Field(
        "fused",
        description="support: those of the support alone classify; the query's serve alignment and contrast only",
        json_schema_extra=READING,
    )
    query_prototypes: Literal["predicted", "reference"] = Field(
        "predicted",
        description="in training: the query's prototypes are of the sure pixels of its coarse mask, or of its reference mask "
        "(a class that this lacks: as predicted); inference knows the coarse mask alone",
        json_schema_extra=READING,
    )
    self_learning: SelfLearningOptions = Field(
        SelfLearningOptions(), description="how the query learns from itself", json_schema_extra=PAPER
    )
    low_level: bool = Field(True, description="low features complete the boundary", json_schema_extra=PAPER)
    low_width: int = Field(64, ge=1, description="channels they are reduced to", json_schema_extra=READING)
    decoder_width: int = Field(64, ge=1, description="channels of the last convolutions", json_schema_extra=READING)
    residual: bool = Field(
        True,
        description="the last convolutions correct the prototypes' answer; false: they replace it",
        json_schema_extra=READING,
    )
    loss: IPSLLossOptions = Field(IPSLLossOptions(), description="weighted sum of losses", json_schema_extra=READING)

    @model_validator(mode="after")
    def _something_to_compare(self) -> Self:
        if not self.mean and self.peak == "none":
            raise ValueError("mean and peak cannot both be off; keep one kind of prototype")
        attends = {
            "heads": self.heads if self.prototypes == "fused" and self.interaction == "attention" else 1,
            "the heads of encode_decode": HEADS
            if self.peak != "none"
            and (self.encode_decode == "transformer" or (self.encode_decode == "u" and self.bottleneck_attention))
            else 1,
        }
        for name, heads in attends.items():
            if self.width % heads:
                raise ValueError(f"width must be a multiple of {name} ({heads})")
        return self
