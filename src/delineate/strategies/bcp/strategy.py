"""Bidirectional copy-paste (BCP): images with and without masks are pasted into each other, so that both are learned alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from pydantic import Field
from torch import Tensor

from delineate.methods.contract import PAPER, Batch, Context
from delineate.nn.components import largest_components
from delineate.nn.losses import IGNORE
from delineate.nn.views.copy_paste import CopyPaste
from delineate.strategies.batches import select_samples
from delineate.strategies.contract import Shown, Strategy, StrategyInfo, StrategyOptions
from delineate.strategies.views import each_map

__all__ = ["BidirectionalCopyPaste", "CopyPasteOptions"]


class CopyPasteOptions(StrategyOptions):
    ema: float = Field(
        0.99, gt=0, lt=1, description="decay of the teacher's weights, after the first part", json_schema_extra=PAPER
    )
    first_part: float = Field(
        0.25,
        ge=0,
        le=1,
        description="share of a stage's steps in which images with masks alone are pasted into each other; 1: all of it",
        json_schema_extra=PAPER,
    )
    pseudo_weight: float = Field(
        0.5,
        ge=0,
        description="of pixels whose mask the teacher has made; those with a mask of their own have 1",
        json_schema_extra=PAPER,
    )
    largest_component: bool = Field(
        True, description="of each class in the teacher's masks only the largest part is kept", json_schema_extra=PAPER
    )
    side: float = Field(
        2 / 3, gt=0, le=1, description="height and width of the box, as a share of the image's", json_schema_extra=PAPER
    )


class BidirectionalCopyPaste(Strategy):
    """The method's own objective on the mixed images, once for the pixels with masks and once for those of the teacher."""

    info = StrategyInfo(
        name="bcp",
        title="BCP",
        paper="Bai, Chen, Li, Shen, Wang: Bidirectional copy-paste for semi-supervised medical image segmentation, CVPR 2023, "
        "arXiv 2305.00673",
        year=2023,
        uses_unlabeled=True,
        couples_samples=True,
        step_cost=1.17,
        reference="supervised",
        reference_options={"mix": "copy-paste"},
        neutral={"first_part": 1.0},
    )
    Options = CopyPasteOptions
    options: CopyPasteOptions

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        return bool(options.first_part < 1)

    @classmethod
    def shows(cls, options: Any) -> frozenset[Shown]:
        return frozenset({"boxes"})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        labeled = select_samples(batch, batch["labeled"])
        if not self.training or labeled is None:
            return self.method_terms(batch)
        unlabeled = None if self.in_first_part(self.ctx) else select_samples(batch, ~batch["labeled"])
        if unlabeled is None:
            box = self.box(labeled["image"])
            return self.objective(each_map(labeled, lambda maps: box(maps, maps.roll(1, 0))))
        own, pseudo = self.pasted(labeled, self.with_pseudo_masks(unlabeled))
        terms = self.objective(own)
        if self.options.pseudo_weight:
            more = self.objective(pseudo)
            terms |= {f"pseudo_{name}": self.options.pseudo_weight * term for name, term in more.items()}
        return terms

    def decay(self, ctx: Context) -> float:
        """In the first part the teacher is the student itself, so that it begins the second one with what was learned."""
        teaches_later = self.options.first_part < 1 and self.in_first_part(ctx)
        return 0.0 if teaches_later else super().decay(ctx)

    def in_first_part(self, ctx: Context) -> bool:
        """Whether images with masks are still by themselves."""
        return ctx.step < round(self.options.first_part * ctx.total_steps)

    def objective(self, batch: Batch) -> dict[str, Tensor]:
        """The method's own terms on images that all have masks, or parts of masks."""
        # A mean over mixed images, whatever share of the batch they were made of.
        function = getattr(self.method, self.update.objective)
        terms: dict[str, Tensor] = function(batch, replace(self.ctx, labeled_share=None))
        return terms

    def box(self, image: Tensor) -> CopyPaste:
        """A box for all images of the step."""
        return CopyPaste.draw(image, self.ctx.generator, side=self.options.side)

    def with_pseudo_masks(self, batch: Batch) -> Batch:
        """Images with the teacher's masks in the place of their own."""
        with torch.no_grad():
            mask = self.method.output.labels(self.logits_of(self.average)(batch["image"]))
        mask = largest_components(mask) if self.options.largest_component else mask
        found = cast(Batch, {**batch, "mask": mask})
        for key in ("target", "unaugmented_target"):
            if key in batch:
                found[key] = mask.float()
        return found

    def pasted(self, labeled: Batch, unlabeled: Batch) -> tuple[Batch, Batch]:
        """Pairs of an image with a mask and one without. In the first half of the pairs the box is of the image with a mask, in the
        second half of the other.

        Returns:
            The mixed images twice: with the given masks, ignored where the teacher's are, and the other way around.
        """
        count = max(len(labeled["mask"]), len(unlabeled["mask"]))
        labeled, unlabeled = _repeated(labeled, count), _repeated(unlabeled, count)
        box = self.box(labeled["image"]).box
        first = torch.arange(count, device=box.device) < (count + 1) // 2
        given = torch.where(first.view(-1, 1, 1), box, ~box)

        def parts(key: str) -> tuple[Tensor, Tensor]:
            one, other = labeled[key], unlabeled[key]  # type: ignore[literal-required]
            return torch.where(given, one, IGNORE), torch.where(given, IGNORE, other)

        image = torch.where(given[:, None], labeled["image"], unlabeled["image"])
        own, pseudo = ({**labeled, "image": image, "labeled": torch.ones_like(labeled["labeled"])} for _ in range(2))
        for key in ("mask", "target", "unaugmented_target"):
            if key in labeled:
                own[key], pseudo[key] = parts(key)
        return cast(Batch, own), cast(Batch, pseudo)


def _repeated(batch: Batch, count: int) -> Batch:
    """So many samples, in turn."""
    at = [index % len(batch["sample_id"]) for index in range(count)]

    def repeated(value: Any) -> Any:
        return value[at] if isinstance(value, Tensor) else [value[index] for index in at]

    return cast(Batch, {key: repeated(value) for key, value in batch.items()})
