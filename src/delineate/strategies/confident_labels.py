"""Base of FixMatch and what follows it: a strong view learns the teacher's classes at pixels of which the teacher is sure."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from delineate.methods.contract import PAPER
from delineate.nn.certainty import confidence
from delineate.nn.losses import pixel_cross_entropy
from delineate.nn.views.block_mask import BlockMask
from delineate.nn.views.cutmix import CutMix
from delineate.nn.views.strong import StrongView
from delineate.strategies.added_term import AddedTerm, EmaTeacherOptions
from delineate.strategies.contract import Shown
from delineate.strategies.views import BlockMaskOptions

__all__ = ["ConfidentLabels", "ConfidentLabelsOptions", "confident_loss"]


class ConfidentLabelsOptions(EmaTeacherOptions, BlockMaskOptions):
    """Options of both, with the values of the UniMatch V2 code."""

    ema: float = Field(0.996, gt=0, lt=1, description="decay of the teacher's weights", json_schema_extra=PAPER)
    weight: float = Field(
        1.0,
        ge=0,
        description="of the term on images without masks; 0: plain supervised training",
        json_schema_extra=PAPER,
    )
    ramp: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of a stage's steps in which the weight rises, as exp(−5 (1 − t)²); 0 = it is there at once",
        json_schema_extra=PAPER,
    )
    on: Literal["all", "unlabeled"] = Field(
        "unlabeled", description="images that the term is taken on; all: those with masks too", json_schema_extra=PAPER
    )
    threshold: float = Field(
        0.95,
        ge=0,
        le=1,
        description="probability from which on the teacher's class of a pixel counts",
        json_schema_extra=PAPER,
    )
    jitter: float = Field(
        0.5, ge=0, le=1, description="largest change of brightness, contrast and saturation", json_schema_extra=PAPER
    )
    hue: float = Field(
        0.25, ge=0, le=0.5, description="largest change of hue, in turns of the color circle", json_schema_extra=PAPER
    )
    jitter_probability: float = Field(
        0.8, ge=0, le=1, description="of an image to get another color at all", json_schema_extra=PAPER
    )
    gray: float = Field(0.2, ge=0, le=1, description="probability of an image without color", json_schema_extra=PAPER)
    cutmix: float = Field(
        0.5, ge=0, le=1, description="probability of an image to get a box of another", json_schema_extra=PAPER
    )


class ConfidentLabels(AddedTerm):
    """The teacher sees the image as the data's augmentation gives it, the student strong views of it."""

    term = "confident"
    options: ConfidentLabelsOptions

    @classmethod
    def shows(cls, options: Any) -> frozenset[Shown]:
        own: set[Shown] = {"views", "boxes"} if options.cutmix else {"views"}
        return super().shows(options) | own if options.weight else frozenset()

    def target(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher holds for most probable, and where it is sure of that.

        Args:
            image: B×C×H×W in [0, 1].

        Returns:
            The target, long B×H×W (with regions B×K×H×W), and bool of its shape.
        """
        output = self.method.output
        with torch.no_grad():
            logits = self.logits_of(self.average)(image)
            return output.hard_target(logits), confidence(logits, output) >= self.options.threshold

    def strong(self, image: Tensor, target: Tensor, sure: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A strong view: other colors, blur, boxes of other images with their targets, hidden squares. In eval mode all stay.

        Args:
            image: B×C×H×W in [0, 1].
            target: As `target` gives it.
            sure: Likewise.

        Returns:
            All three, changed alike.
        """
        if not self.training:
            return image, target, sure
        wanted, generator = self.options, self.ctx.generator
        view = StrongView.draw(
            image,
            generator,
            jitter=wanted.jitter,
            hue=wanted.hue,
            jitter_probability=wanted.jitter_probability,
            gray=wanted.gray,
            sigma=(0.1, 2.0),
            sides=(1, 9),  # half of the images are blurred
        )
        mix = CutMix.draw(image, generator, probability=wanted.cutmix)
        shown = mix(view.image(image))
        if wanted.masked:
            shown = BlockMask.draw(image, generator, ratio=wanted.masked, side=wanted.masked_side).image(shown)
        return shown, mix(target), mix(sure)


def confident_loss(logits: Tensor, target: Tensor, sure: Tensor) -> Tensor:
    """Cross-entropy at pixels of which the teacher is sure, divided by the number of all: where it is sure of few, they count less.

    Args:
        logits: B×K×H×W.
        target: Long B×H×W, or B×K×H×W.
        sure: Bool of the target's shape.

    Returns:
        A float32 scalar.
    """
    return (pixel_cross_entropy(logits, target) * sure).mean()
