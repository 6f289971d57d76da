"""Mean teacher: the network agrees with the average of its own past weights, also on images without masks."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from delineate.methods.contract import PAPER, READING
from delineate.strategies.added_term import AddedTerm, EmaTeacherOptions
from delineate.strategies.contract import StrategyInfo
from delineate.strategies.views import BlockMaskOptions, ViewKind, Views

__all__ = ["MeanTeacher", "MeanTeacherOptions"]


class MeanTeacherOptions(EmaTeacherOptions, BlockMaskOptions):
    ema_ramp: float = Field(
        10.0,
        ge=0,
        description="the decay rises to `ema` as (1 + t) / (ramp + t) over the steps t; 0 = it is `ema` at once",
        json_schema_extra=READING,
    )
    weight: float = Field(
        0.1, ge=0, description="of the consistency; 0: plain supervised training", json_schema_extra=READING
    )
    on: Literal["all", "unlabeled"] = Field(
        "all", description="images that are compared; all: those with masks too", json_schema_extra=PAPER
    )
    view: ViewKind = Field(
        "both",
        description="what the student sees, the teacher seeing the image itself; strong: other colors and blur; weak: flipped, "
        "turned and shifted, and its map brought back; none: the same image",
        json_schema_extra=READING,
    )


class MeanTeacher(AddedTerm):
    """The student's probabilities are drawn to the teacher's."""

    term = "consistency"
    info = StrategyInfo(
        name="mean-teacher",
        title="Mean teacher",
        paper="Tarvainen, Valpola: Mean teachers are better role models: Weight-averaged consistency targets improve "
        "semi-supervised deep learning results, NeurIPS 2017, arXiv 1703.01780",
        year=2017,
        uses_unlabeled=True,
        step_cost=1.83,
        neutral={"weight": 0.0},
        reference_options={"view": "none"},
    )
    Options = MeanTeacherOptions
    options: MeanTeacherOptions

    def added(self, image: Tensor) -> Tensor:
        """Mean squared difference of the probabilities of student and teacher, over images B×C×H×W."""
        probabilities = self.method.output.probabilities
        with torch.no_grad():
            wanted = probabilities(self.logits_of(self.average)(image))
        views = self.views(image) if self.training else Views(None, None)
        found = views.back(probabilities(self.logits_of(self.method)(views.image(image))))
        squares, visible = (found - wanted).square(), views.visible()
        if visible is None:
            return squares.mean()
        shown = visible[:, None]
        return ((squares * shown).mean((1, 2, 3)) / shown.float().mean((1, 2, 3))).mean()

    def views(self, image: Tensor) -> Views:
        """What the student sees of images B×C×H×W, drawn."""
        wanted = self.options
        return Views.draw(image, wanted.view, self.ctx.generator, masked=wanted.masked, masked_side=wanted.masked_side)
