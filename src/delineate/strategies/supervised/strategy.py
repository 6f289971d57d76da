"""Plain supervised training: the method's own objective on what it learns from."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.methods.contract import Batch, Stage
from delineate.strategies.contract import Strategy, StrategyInfo, StrategyOptions
from delineate.strategies.views import BlockMaskOptions, Mix, ViewKind, Views, mixed

__all__ = ["Supervised", "SupervisedOptions"]


class SupervisedOptions(BlockMaskOptions):
    view: ViewKind = Field(
        "none",
        description="what is shown of images and masks, beyond the data's augmentation, as other strategies show it; strong: other "
        "colors and blur; weak: flipped, turned and shifted; both; none",
    )
    mix: Mix = Field(
        "none",
        description="boxes of one image pasted into another, with the mask; cutmix: half of the images, boxes of many sizes; "
        "copy-paste: all of them, one box of two thirds of each side; none",
    )


class Supervised(Strategy):
    """The base class, and views and mixing: with those of another strategy it is what that one is fairly compared with."""

    info = StrategyInfo(
        name="supervised",
        title="Supervised",
        paper="none: the method's own objective, on images with masks",
        year=2026,
        kinds=("dense", "episodic"),
    )
    Options = SupervisedOptions
    options: SupervisedOptions

    def begin(self, stage: Stage, options: StrategyOptions) -> None:
        super().begin(stage, options)
        if self.method.kind == "episodic" and self._shows_otherwise():
            raise RecipeError(
                "strategy.view, strategy.mix and strategy.masked: few-shot methods have views of their own; leave them out"
            )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        if not (self.training and self._shows_otherwise()):
            return self.method_terms(batch)
        wanted, generator = self.options, self.ctx.generator
        views = Views.draw(batch["image"], wanted.view, generator, masked=wanted.masked, masked_side=wanted.masked_side)
        return self.method_terms(mixed(views.batch(batch), wanted.mix, generator))

    def _shows_otherwise(self) -> bool:
        wanted = self.options
        return wanted.view != "none" or wanted.mix != "none" or wanted.masked > 0
