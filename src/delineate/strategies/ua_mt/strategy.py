"""Uncertainty-aware mean teacher (UA-MT): consistency with the teacher only where several noisy passes of it agree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from delineate.methods.contract import PAPER, READING, Method
from delineate.nn.certainty import entropy_of_mean, largest_entropy
from delineate.nn.ramps import sigmoid_ramp
from delineate.nn.views.noise import NoiseView
from delineate.strategies.added_term import AddedTerm, EmaTeacherOptions
from delineate.strategies.contract import StrategyInfo
from delineate.strategies.views import ViewKind, Views

__all__ = ["UncertaintyAwareMeanTeacher", "UncertaintyAwareOptions"]


class UncertaintyAwareOptions(EmaTeacherOptions):
    weight: float = Field(
        0.1, ge=0, description="of the consistency; 0: plain supervised training", json_schema_extra=PAPER
    )
    passes: int = Field(
        8, ge=1, description="of the teacher, whose mean tells how sure it is of a pixel", json_schema_extra=PAPER
    )
    noise: float = Field(
        0.1,
        ge=0,
        description="standard deviation of the noise on what the teacher sees; it is cut at twice as much",
        json_schema_extra=PAPER,
    )
    dropout: bool = Field(True, description="dropout of the teacher is active in these passes", json_schema_extra=PAPER)
    least: float = Field(
        0.75,
        ge=0,
        le=1,
        description="share of the largest entropy below which a pixel counts, at first; it rises to 1 over the stage",
        json_schema_extra=PAPER,
    )
    largest: Literal["classes", "two-classes"] = Field(
        "classes",
        description="the largest entropy: ln of the number of classes, or ln 2 whatever their number, as in the authors' code for "
        "two classes",
        json_schema_extra=READING,
    )
    view: ViewKind = Field(
        "none",
        description="what the student sees; strong: other colors and blur; weak: flipped, turned and shifted, and its map brought "
        "back; none: the image itself, as in the paper",
        json_schema_extra=PAPER,
    )


class UncertaintyAwareMeanTeacher(AddedTerm):
    """The student's probabilities are drawn to the teacher's, at pixels of which the teacher is sure."""

    term = "consistency"
    info = StrategyInfo(
        name="ua-mt",
        title="UA-MT",
        paper="Yu, Wang, Li, Fu, Heng: Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium segmentation, "
        "MICCAI 2019, arXiv 1907.07034",
        year=2019,
        uses_unlabeled=True,
        couples_samples=True,
        step_cost=2.5,
        neutral={"weight": 0.0},
        reference_options={"view": "none"},
    )
    Options = UncertaintyAwareOptions
    options: UncertaintyAwareOptions

    def added(self, image: Tensor) -> Tensor:
        """Squared difference of the probabilities, a mean over channels and over the pixels of the batch that count."""
        output = self.method.output
        with torch.no_grad():
            wanted = output.probabilities(self.logits_of(self.average)(self.noisy(image)))
            sure = self.sure(image)
        views = Views.draw(image, self.options.view if self.training else "none", self.ctx.generator)
        found = views.back(output.probabilities(self.logits_of(self.method)(views.image(image))))
        visible = views.visible()
        counts = sure if visible is None else sure & visible
        squares = (found - wanted).square()
        # As of two classes, which differ by as much: half of the sum is one of them.
        squares = squares.mean(1) if output.independent else squares.sum(1) / 2
        return (squares * counts).sum() / counts.sum().clamp_min(1)

    def sure(self, image: Tensor) -> Tensor:
        """Pixels of which the mean of the teacher's passes is sure enough: bool B×H×W."""
        output, mean = self.method.output, torch.zeros((), device=image.device)
        with _dropout(self.average, self.training and self.options.dropout):
            for _ in range(self.options.passes):
                mean = mean + output.probabilities(self.logits_of(self.average)(self.noisy(image)))
        most = largest_entropy(output) if self.options.largest == "classes" else math.log(2)
        return entropy_of_mean(mean / self.options.passes, output) < self.threshold() * most

    def threshold(self) -> float:
        """Share of the largest entropy below which a pixel counts at this step."""
        least = self.options.least
        return least + (1 - least) * sigmoid_ramp(self.ctx.progress, 1.0)

    def noisy(self, image: Tensor) -> Tensor:
        """Images as a pass of the teacher sees them; in eval mode as they are."""
        sigma = self.options.noise
        if not (self.training and sigma):
            return image
        return NoiseView.draw(image, self.ctx.generator, sigma=sigma, most=2 * sigma).image(image)


@contextmanager
def _dropout(network: Method | None, active: bool) -> Iterator[None]:
    """Within the block the network's dropout drops, if `active`; all else of it stays in eval mode."""
    assert network is not None, "the options see to it that there is a teacher"
    layers = [part for part in network.modules() if isinstance(part, nn.modules.dropout._DropoutNd)]
    for layer in layers:
        layer.train(active)
    try:
        yield
    finally:
        for layer in layers:
            layer.eval()
