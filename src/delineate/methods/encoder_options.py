"""Options of methods that are built on an encoder: which one, with which first weights and input statistics."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from delineate.methods.contract import MethodOptions
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.sources import check_pretrained, expected_normalization, normalization_remarks
from delineate.nn.normalize import Normalization

__all__ = ["NORMALIZE", "EncoderMethodOptions"]

NORMALIZE = (
    "mean and standard deviation taken off the image: auto (those that the pretrained weights were trained with; imagenet from "
    "random weights), imagenet, none, or {mean: [...], std: [...]} of images in [0, 1]"
)
"""Description of the option."""


class EncoderMethodOptions(MethodOptions):
    """Base of the options of methods with an encoder.

    `normalize` never stays "auto": what it means is found when the options are made, so that a model file does not depend on a
    package, or on timm's table, that later says something else.

    Example:
        >>> from delineate.methods.encoder_options import EncoderMethodOptions
        >>> EncoderMethodOptions(encoder={"name": "resnet18"}).normalize
        'imagenet'
    """

    encoder: EncoderOptions = Field(EncoderOptions(), description="timm network and its first weights")
    normalize: Normalization = Field("auto", description=NORMALIZE)

    @model_validator(mode="after")
    def _settle_normalize(self) -> Self:
        if self.normalize == "auto":
            # Options are frozen for their users; this is still their making.
            object.__setattr__(self, "normalize", expected_normalization(self.encoder))
        return self

    def check_available(self) -> None:
        check_pretrained(self.encoder)

    def remarks(self) -> list[str]:
        return normalization_remarks(self.encoder, self.normalize)
