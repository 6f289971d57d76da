"""Options of DEC-Seg."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from delineate.methods.contract import PAPER, READING
from delineate.methods.cross_consistency_options import CrossConsistencyOptions
from delineate.methods.encoder_options import NORMALIZE, EncoderMethodOptions
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.normalize import Normalization
from delineate.nn.segmentation_loss import LossOptions

__all__ = ["DECSegOptions"]


class DECSegOptions(CrossConsistencyOptions, EncoderMethodOptions):
    encoder: EncoderOptions = Field(
        EncoderOptions(name="res2net50d"),
        description="timm network and its first weights; each of its maps has half the resolution of the one before",
        json_schema_extra=PAPER,
    )
    normalize: Normalization = Field("auto", description=NORMALIZE, json_schema_extra=READING)
    taps: PositiveInt | None = Field(
        None,
        description="the encoder's maps are brought to at most this many channels, and the decoders are as wide; null: as they are",
        json_schema_extra=READING,
    )
    width: int = Field(
        64,
        ge=4,
        multiple_of=4,
        description="channels of the maps that are joined of two levels (CFA)",
        json_schema_extra=PAPER,
    )
    scale_weight: float = Field(
        1.0, ge=0, description="weight of the consistency of both scales; 0: none", json_schema_extra=PAPER
    )
    on: Literal["unlabeled", "all"] = Field(
        "unlabeled",
        description="images that are perturbed and made again; all: those with masks too",
        json_schema_extra=PAPER,
    )
    ramp: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of training in which these weights rise, as exp(−5 (1 − t)²); 0 = they are there at once",
        json_schema_extra=PAPER,
    )
    loss: LossOptions = Field(
        LossOptions(cross_entropy=0.5, dice=0.5),
        description="weighted sum of losses of each of the three outputs",
        json_schema_extra=PAPER,
    )
