"""Options of self-supervised correction."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from delineate.methods.contract import PAPER, READING
from delineate.methods.encoder_options import EncoderMethodOptions
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.segmentation_loss import LossOptions

__all__ = ["CorrectionOptions", "InpaintingOptions"]


class InpaintingOptions(BaseModel):
    """What is painted into the erased regions, and who learns from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(
        1.0,
        ge=0,
        description="of the inpainting's error; 0: nothing is inpainted, and images without masks are not used",
        json_schema_extra=PAPER,
    )
    images: Literal["unlabeled", "all"] = Field(
        "unlabeled",
        description="images whose inpainting is learned from; all: those with masks too",
        json_schema_extra=PAPER,
    )
    features: Literal["erased", "fused"] = Field(
        "erased",
        description="what the inpainting is made of: the erased image's maps, or those that the segmentation reads, which know the "
        "original image",
        json_schema_extra=READING,
    )


class CorrectionOptions(EncoderMethodOptions):
    """Options of self-supervised correction. `origin` says what the authors state and what is this project's reading."""

    encoder: EncoderOptions = Field(
        EncoderOptions(name="resnet34"), description="timm network and its first weights", json_schema_extra=PAPER
    )
    width: PositiveInt | None = Field(
        None,
        description="most channels of a feature map after the encoder; wider ones pass a 1×1 convolution first; null: any number",
        json_schema_extra=READING,
    )
    second_pass: bool = Field(
        True,
        description="what a first pass finds is erased, and the erased image passes the encoder too; false: a plain network, "
        "without fusion and inpainting",
        json_schema_extra=PAPER,
    )
    fusion: Literal["gated", "sum", "none"] = Field(
        "gated",
        description="how maps of the image and of the erased image meet for the segmentation; none: it reads the image's alone, "
        "and the second pass is of training alone",
        json_schema_extra=PAPER,
    )
    inpainting: InpaintingOptions = Field(
        InpaintingOptions(), description="of the erased regions", json_schema_extra=PAPER
    )
    sides: bool = Field(
        True,
        description="segmentation and inpainting are learned at each lower resolution too (deep supervision)",
        json_schema_extra=PAPER,
    )
    loss: LossOptions = Field(
        LossOptions(cross_entropy=2, dice=2),
        description="weighted sum of losses of the segmentation at each resolution",
        json_schema_extra=PAPER,
    )

    @property
    def inpaints(self) -> bool:
        """Is anything inpainted in training?"""
        return self.second_pass and self.inpainting.weight > 0

    @property
    def fuses(self) -> bool:
        """Does the segmentation read the second pass?"""
        return self.second_pass and self.fusion != "none"

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.second_pass and not self.fuses and not self.inpaints:
            raise ValueError(
                "with fusion none and inpainting.weight 0 nothing uses the second pass; set second_pass to false"
            )
        if self.inpaints and not self.fuses and self.inpainting.features == "fused":
            raise ValueError("inpainting.features: fused needs fused maps; choose a fusion, or features erased")
        return self
