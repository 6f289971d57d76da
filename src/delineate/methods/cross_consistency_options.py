"""Options of consistency with a perturbed image and with images drawn from logits: of networks and of ways of training."""

from __future__ import annotations

from pydantic import BaseModel, Field, PositiveInt

from delineate.methods.contract import PAPER
from delineate.nn.cross_generation import GENERATOR_WIDTHS

__all__ = ["CrossConsistencyOptions"]


class CrossConsistencyOptions(BaseModel):
    perturbation_weight: float = Field(
        1.0,
        ge=0,
        description="weight of the consistency with an image of another brightness and hue; 0: none",
        json_schema_extra=PAPER,
    )
    generation_weight: float = Field(
        1.0,
        ge=0,
        description="weight of the images that are made from the logits, each of the other image's; 0: none",
        json_schema_extra=PAPER,
    )
    brightness: float = Field(
        0.2, ge=0, le=1, description="largest change of the perturbed image's brightness", json_schema_extra=PAPER
    )
    hue: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="largest change of its hue, in turns of the color circle",
        json_schema_extra=PAPER,
    )
    generator_widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        GENERATOR_WIDTHS,
        description="channels of each level of the networks that make images, the finest first",
        json_schema_extra=PAPER,
    )
