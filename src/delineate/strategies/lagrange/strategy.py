"""Lagrange duality consistency: each class's share of the pixels is held to that of the masks, by a multiplier that learns."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from delineate.methods.contract import PAPER, READING, Batch, Context, Method
from delineate.nn.losses import IGNORE
from delineate.strategies.batches import select_samples
from delineate.strategies.contract import Shown, Strategy, StrategyInfo, StrategyOptions
from delineate.strategies.views import Views

__all__ = ["LagrangeDuality", "LagrangeOptions"]


class LagrangeOptions(StrategyOptions):
    dual_step: float = Field(
        0.01, ge=0, description="how fast the multipliers rise with the constraint; 0: none", json_schema_extra=PAPER
    )
    dual_most: float = Field(
        1.0, gt=0, description="largest size of a multiplier, to either side", json_schema_extra=READING
    )
    per: Literal["class", "all"] = Field(
        "class",
        description="a constraint for each class (or region), or one of all of them together as in the authors' code",
        json_schema_extra=READING,
    )
    reset_each_epoch: bool = Field(
        False, description="multipliers begin at 0 in every epoch, as in the authors' code", json_schema_extra=READING
    )
    squares: float = Field(
        0.2, ge=0, description="weight of the squared difference from the masks; 0: none", json_schema_extra=PAPER
    )
    squares_of: Literal["probabilities", "logits"] = Field(
        "probabilities",
        description="of what; logits: as in the authors' code, which pulls them to 0 and 1",
        json_schema_extra=READING,
    )
    contrast: Literal["views", "as-code", "none"] = Field(
        "views",
        description="whose predictions are drawn together; views: those of a strong view and of the image itself, without a mask; "
        "as-code: of an image with a mask and of any other one without",
        json_schema_extra=READING,
    )
    contrast_weight: float = Field(1.0, ge=0, description="of that term; 0: none", json_schema_extra=PAPER)
    temperature: float = Field(0.07, gt=0, description="of the contrast", json_schema_extra=PAPER)


class LagrangeDuality(Strategy):
    """Adds three terms to the first update of each stage: `constraint`, `squares`, `contrast`."""

    info = StrategyInfo(
        name="lagrange",
        title="Lagrange duality consistency",
        paper="Zheng, Li, Li et al.: Lagrange duality and compound multi-attention transformer for semi-supervised medical image "
        "segmentation, arXiv 2409.07793",
        year=2024,
        uses_unlabeled=True,
        couples_samples=True,
        step_cost=1.67,
        one_for_all_stages=("per",),
        neutral={"dual_step": 0.0, "squares": 0.0, "contrast_weight": 0.0},
    )
    Options = LagrangeOptions
    options: LagrangeOptions
    dual: Tensor
    """The multipliers: one, or one per channel."""
    gap: Tensor
    """Of this step: sums of the constraints over samples, and last how many samples that was."""

    def __init__(self, method: Method, options: LagrangeOptions) -> None:
        super().__init__(method, options)
        count = 1 if options.per == "all" else method.classes
        self.register_buffer("dual", torch.zeros(count))
        self.register_buffer("gap", torch.zeros(count + 1))

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        return bool(options.contrast != "none" and options.contrast_weight > 0)

    @classmethod
    def shows(cls, options: Any) -> frozenset[Shown]:
        return frozenset({"views"} if options.contrast == "views" and options.contrast_weight else ())

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        terms, wanted = self.method_terms(batch), self.options
        if self.update != self.updates(self.stage)[0]:
            return terms
        labeled = select_samples(batch, batch["labeled"])
        contrasts = self.uses_unlabeled(wanted)
        logits = None
        if labeled is not None and (wanted.dual_step or wanted.squares or (contrasts and wanted.contrast == "as-code")):
            logits = self.logits_of(self.method)(labeled["image"]).float()
            terms |= self.held_to_masks(logits, labeled["mask"], self.ctx.weight_of_part(batch["labeled"]))
        unlabeled = select_samples(batch, ~batch["labeled"]) if contrasts else None
        if unlabeled is not None:
            part = self.ctx.weight_of_part(batch["labeled"], with_masks=False)
            if wanted.contrast == "views":
                terms["contrast"] = part * wanted.contrast_weight * self.views_agree(unlabeled["image"])
            elif logits is not None:
                terms["contrast"] = part * wanted.contrast_weight * self.pairs_agree(logits, unlabeled["image"])
        return terms

    def held_to_masks(self, logits: Tensor, mask: Tensor, part: float) -> dict[str, Tensor]:
        """The terms of images with masks.

        Args:
            logits: Float32 B×K×H×W.
            mask: Long B×H×W.
            part: Weight of this part of the batch.

        Returns:
            Scalars by name, without those that are switched off.
        """
        output, found = self.method.output, dict[str, Tensor]()
        valid = (mask != IGNORE)[:, None]
        inside = torch.where(mask == IGNORE, 0, mask)
        target = output.target(inside)
        one_hot = target if target.ndim == 4 else F.one_hot(target, max(2, output.channels)).movedim(-1, 1)
        one_hot = one_hot[:, -output.channels :].float()  # of one class the foreground
        probabilities = output.probabilities(logits)
        pixels = valid.sum((2, 3)).clamp_min(1)
        if self.options.dual_step:
            gap = ((probabilities - one_hot) * valid).sum((2, 3)) / pixels
            gap = gap.mean(1, keepdim=True) if self.options.per == "all" else gap
            if self.training:
                self.gap += torch.cat((gap.detach().sum(0), torch.full_like(self.gap[:1], len(gap))))
            # A clone: the multipliers move after the step, before which the gradient is taken.
            found["constraint"] = part * (self.dual.clone() * gap.mean(0)).sum()
        if self.options.squares:
            values = logits if self.options.squares_of == "logits" else probabilities
            squares = ((values - one_hot).square() * valid).sum((2, 3)) / pixels
            found["squares"] = part * self.options.squares * squares.mean()
        return found

    def views_agree(self, image: Tensor) -> Tensor:
        """InfoNCE over the images: the mask of a strong view belongs to that of the image itself, which is held fixed."""
        network = self.logits_of(self.method)
        with torch.no_grad():
            key = network(image)
        views = Views.draw(image, "strong" if self.training else "none", self.ctx.generator)
        return self.info_nce(network(views.image(image)), key)

    def pairs_agree(self, logits: Tensor, image: Tensor) -> Tensor:
        """The same of masks of images with masks, B×K×H×W, and of other images, in the order in which they come."""
        with torch.no_grad():
            fixed = self.logits_of(self.method)(image)
        count = min(len(logits), len(fixed))
        return self.info_nce(fixed[:count], logits[:count])

    def info_nce(self, query: Tensor, key: Tensor) -> Tensor:
        """Cross-entropy of which key belongs to each query, by the cosine of the logits of all pixels: both B×K×H×W."""
        query, key = (F.normalize(one.float().flatten(1), dim=1) for one in (query, key))
        return F.cross_entropy(query @ key.T / self.options.temperature, torch.arange(len(query), device=query.device))

    def after_step(self, ctx: Context) -> None:
        """Dual ascent."""
        super().after_step(ctx)
        with torch.no_grad():
            mean = self.gap[:-1] / self.gap[-1].clamp_min(1)
            self.dual.add_(self.options.dual_step * mean).clamp_(-self.options.dual_most, self.options.dual_most)
            if self.options.reset_each_epoch and ctx.steps_per_epoch and (ctx.step + 1) % ctx.steps_per_epoch == 0:
                self.dual.zero_()
            self.gap.zero_()
