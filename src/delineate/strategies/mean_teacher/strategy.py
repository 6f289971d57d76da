"""Mean teacher: the network agrees with the average of its own past weights, also on images without masks."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from delineate.methods.contract import PAPER, READING, Batch
from delineate.nn.views.strong import StrongView
from delineate.nn.views.weak import WeakView
from delineate.strategies.batches import select_samples
from delineate.strategies.contract import Strategy, StrategyInfo, StrategyOptions

__all__ = ["MeanTeacher", "MeanTeacherOptions"]


class MeanTeacherOptions(StrategyOptions):
    ema: float = Field(0.99, gt=0, lt=1, description="decay of the teacher's weights", json_schema_extra=PAPER)
    ema_ramp: float = Field(
        10.0,
        ge=0,
        description="the decay rises to `ema` as (1 + t) / (ramp + t) over the steps t; 0 = it is `ema` at once",
        json_schema_extra=READING,
    )
    weight: float = Field(
        0.1, ge=0, description="of the consistency; 0: plain supervised training", json_schema_extra=READING
    )
    ramp: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of a stage's steps in which the weight rises, as exp(−5 (1 − t)²); 0 = it is there at once",
        json_schema_extra=READING,
    )
    on: Literal["all", "unlabeled"] = Field(
        "all", description="images that are compared; all: those with masks too", json_schema_extra=PAPER
    )
    view: Literal["both", "strong", "weak", "none"] = Field(
        "both",
        description="what the student sees, the teacher seeing the image itself; strong: other colors and blur; weak: flipped, "
        "turned and shifted, and its map brought back; none: the same image",
        json_schema_extra=READING,
    )


class MeanTeacher(Strategy):
    """Adds one term, `consistency`, to the first update of each stage."""

    info = StrategyInfo(
        name="mean-teacher",
        title="Mean teacher",
        paper="Tarvainen, Valpola: Mean teachers are better role models: Weight-averaged consistency targets improve "
        "semi-supervised deep learning results, NeurIPS 2017, arXiv 1703.01780",
        year=2017,
        uses_unlabeled=True,
        neutral={"weight": 0.0},
    )
    Options = MeanTeacherOptions
    options: MeanTeacherOptions

    @classmethod
    def uses_unlabeled(cls, options: MeanTeacherOptions) -> bool:
        return options.weight > 0

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        terms = self.method_terms(batch)
        if self.options.weight == 0 or self.update != self.updates(self.stage)[0]:
            return terms
        compared = batch if self.options.on == "all" else select_samples(batch, ~batch["labeled"])
        if compared is not None:
            part = 1.0 if self.options.on == "all" else self.ctx.weight_of_part(batch["labeled"], with_masks=False)
            terms["consistency"] = part * self.weight() * self.consistency(compared["image"])
        return terms

    def weight(self) -> float:
        """Of the consistency at this step, after the ramp."""
        ramp = self.options.ramp
        ramp_done = min(1.0, self.ctx.progress / ramp) if ramp else 1.0
        return self.options.weight * math.exp(-5 * (1 - ramp_done) ** 2)

    def consistency(self, image: Tensor) -> Tensor:
        """Mean squared difference of the probabilities of student and teacher, over images B×C×H×W."""
        probabilities = self.method.output.probabilities
        with torch.no_grad():
            teacher_probabilities = probabilities(getattr(self.average, self.stage.logits)(image))
        student = getattr(self.method, self.stage.logits)
        student_image, generator = image, self.ctx.generator
        if self.training and self.options.view in ("both", "strong"):
            student_image = StrongView.draw(image, generator).image(student_image)
        if not (self.training and self.options.view in ("both", "weak")):
            return (probabilities(student(student_image)) - teacher_probabilities).square().mean()
        weak = WeakView.draw(image, generator)
        student_probabilities = weak.inverse(probabilities(student(weak.image(student_image))))
        visible = weak.visible()[:, None]
        squares = ((student_probabilities - teacher_probabilities).square() * visible).mean((1, 2, 3))
        return (squares / visible.float().mean((1, 2, 3))).mean()
