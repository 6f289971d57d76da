"""Base of the strategies that add one term to the method's own, such as consistency on images without masks."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from delineate.methods.contract import PAPER, READING, Batch
from delineate.nn.ramps import sigmoid_ramp
from delineate.strategies.batches import select_samples
from delineate.strategies.contract import Shown, Strategy, StrategyOptions

__all__ = ["AddedTerm", "AddedTermOptions", "EmaTeacherOptions"]


class AddedTermOptions(StrategyOptions):
    """Options of a term that is added: its weight, and the images it is taken on. A strategy gives them its paper's defaults."""

    weight: float = Field(
        0.1, ge=0, description="of the added term; 0: plain supervised training", json_schema_extra=READING
    )
    ramp: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of a stage's steps in which the weight rises, as exp(−5 (1 − t)²); 0 = it is there at once",
        json_schema_extra=READING,
    )
    on: Literal["all", "unlabeled"] = Field(
        "unlabeled",
        description="images that the term is taken on; all: those with masks too",
        json_schema_extra=PAPER,
    )


class EmaTeacherOptions(AddedTermOptions):
    """The same, of strategies whose teacher is the average of the student's weights: there always is one."""

    ema: float = Field(0.99, gt=0, lt=1, description="decay of the teacher's weights", json_schema_extra=PAPER)
    ema_ramp: float = Field(
        2.0,
        ge=0,
        description="the decay rises to `ema` as (1 + t) / (ramp + t) over the steps t; 0 = it is `ema` at once",
        json_schema_extra=PAPER,
    )


class AddedTerm(Strategy):
    """Adds one term to the first update of each stage. A subclass names it and says what it is (`added`).

    It is compared what the stage validates (`Stage.logits`), since only the method knows the rest of its objective. With `weight`
    0 the term is not there: images without masks are then neither loaded nor passed through a network.
    """

    term: ClassVar[str]
    """Its name in the log."""
    options: AddedTermOptions

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        return bool(options.weight > 0)

    @classmethod
    def shows(cls, options: Any) -> frozenset[Shown]:
        return super().shows(options) if options.weight else frozenset()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        terms = self.method_terms(batch)
        if self.options.weight == 0 or self.update != self.updates(self.stage)[0]:
            return terms
        everywhere = self.options.on == "all"
        images = batch if everywhere else select_samples(batch, ~batch["labeled"])
        if images is not None:
            part = 1.0 if everywhere else self.ctx.weight_of_part(batch["labeled"], with_masks=False)
            for name, term in self.added_terms(images["image"]).items():
                terms[name] = part * self.weight() * term
        return terms

    def added_terms(self, image: Tensor) -> dict[str, Tensor]:
        """The term by its name. A subclass that adds several, under one weight, says them here in place of `added`.

        Args:
            image: B×C×H×W in [0, 1].

        Returns:
            Scalars by name, as `added` gives one.
        """
        return {self.term: self.added(image)}

    def added(self, image: Tensor) -> Tensor:
        """The term, before its weight.

        Args:
            image: B×C×H×W in [0, 1].

        Returns:
            A float32 scalar with a gradient, a mean over images wherever possible.
        """
        raise NotImplementedError

    def weight(self) -> float:
        """Of the term at this step, after the ramp.

        Returns:
            At most `options.weight`.
        """
        return self.options.weight * sigmoid_ramp(self.ctx.progress, self.options.ramp)
