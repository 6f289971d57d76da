"""Scale consistency: DEC-Seg's way to learn from images without masks, with any network.

The network agrees with itself on a half-size copy of the image and on a view of another brightness and hue, and what it says of
either must be enough to draw the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.methods.contract import PAPER, Method, Stage, Update
from delineate.methods.cross_consistency_options import CrossConsistencyOptions
from delineate.nn.blocks import resize, size_of
from delineate.nn.cross_generation import CrossGeneration
from delineate.nn.half_size import half_size
from delineate.nn.views.strong import StrongView
from delineate.strategies.added_term import AddedTerm, AddedTermOptions
from delineate.strategies.contract import Shown, StrategyInfo, StrategyOptions

__all__ = ["ScaleConsistency", "ScaleConsistencyOptions"]


class ScaleConsistencyOptions(CrossConsistencyOptions, AddedTermOptions):
    weight: float = Field(
        1.0, ge=0, description="of the three terms together; 0: plain supervised training", json_schema_extra=PAPER
    )
    ramp: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of a stage's steps in which the weight rises, as exp(−5 (1 − t)²); 0 = it is there at once",
        json_schema_extra=PAPER,
    )
    on: Literal["all", "unlabeled"] = Field(
        "unlabeled",
        description="images that the terms are taken on; all: those with masks too",
        json_schema_extra=PAPER,
    )
    scale_weight: float = Field(
        1.0, ge=0, description="weight of the consistency with a half-size copy; 0: none", json_schema_extra=PAPER
    )

    @property
    def generates(self) -> bool:
        """Whether images are made."""
        return bool(self.weight and self.generation_weight)


class ScaleConsistency(AddedTerm):
    """Adds up to three terms: `perturbation`, `scale`, `generation`. Both sides of each learn."""

    info = StrategyInfo(
        name="scale-consistency",
        title="Scale consistency",
        paper="Gu, Zhou, Zhang et al.: Dual-scale enhanced and cross-generative consistency learning for semi-supervised medical "
        "image segmentation, Pattern Recognition 158 (2025) 110962, arXiv 2312.16039",
        year=2025,
        uses_unlabeled=True,
        step_cost=2.0,
        neutral={"weight": 0.0},
    )
    Options = ScaleConsistencyOptions
    options: ScaleConsistencyOptions
    generation: CrossGeneration | None
    """None where no images are made."""

    def __init__(self, method: Method, options: ScaleConsistencyOptions) -> None:
        super().__init__(method, options)
        self.generation = (
            CrossGeneration(method.classes, method.in_channels, options.generator_widths) if options.generates else None
        )

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        some = options.perturbation_weight or options.scale_weight or options.generation_weight
        return bool(options.weight and some)

    @classmethod
    def shows(cls, options: Any) -> frozenset[Shown]:
        changed = options.weight and (options.perturbation_weight or options.generation_weight)
        return frozenset({"views"} if changed else ())

    def begin(self, stage: Stage, options: StrategyOptions) -> None:
        super().begin(stage, options)
        if self.generation is None and self.options.generates:
            raise RecipeError(
                f"stages.{stage.name}.strategy: the run makes no images, so that there are no networks for it; set "
                "strategy.weight and strategy.generation_weight above 0 and those of the other stages to 0"
            )

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        first, *others = super().updates(stage)
        if self.options.generates:
            first = replace(first, modules=(*first.modules, "generation"))
        return (first, *others)

    def added_terms(self, image: Tensor) -> dict[str, Tensor]:
        wanted, output, network = self.options, self.method.output, self.logits_of(self.method)
        logits, terms = network(image), dict[str, Tensor]()
        found = output.probabilities(logits)
        if wanted.scale_weight:
            info = self.method.info
            size = half_size(size_of(image), multiple=info.divisor, least=2 * info.min_size)
            half = resize(output.probabilities(network(resize(image, size))), size_of(image))
            terms["scale"] = wanted.scale_weight * F.mse_loss(found, half)
        if not (wanted.perturbation_weight or wanted.generation_weight):
            return terms
        changed = self.changed(image)
        changed_logits = network(changed)
        if wanted.perturbation_weight:
            apart = F.mse_loss(found, output.probabilities(changed_logits))
            terms["perturbation"] = wanted.perturbation_weight * apart
        if self.generation is not None and wanted.generation_weight:
            made = self.generation.loss(logits, image, changed_logits, changed)
            terms["generation"] = wanted.generation_weight * made
        return terms

    def changed(self, image: Tensor) -> Tensor:
        """Images B×C×H×W in another brightness and hue; in eval mode the images themselves."""
        if not self.training:
            return image
        wanted = self.options
        view = StrongView.draw_light(image, self.ctx.generator, brightness=wanted.brightness, hue=wanted.hue)
        return view.image(image)
