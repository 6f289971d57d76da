"""UniMatch V2: two strong views with complementary halves of the feature channels learn what the teacher is sure of."""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Tensor

from delineate.methods.contract import PAPER
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.strategies.confident_labels import ConfidentLabels, ConfidentLabelsOptions, confident_loss
from delineate.strategies.contract import StrategyInfo

__all__ = ["UniMatch", "UniMatchOptions"]


class UniMatchOptions(ConfidentLabelsOptions):
    channel_dropout: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the images whose feature channels are divided between the two views; 0: of none",
        json_schema_extra=PAPER,
    )


class UniMatch(ConfidentLabels):
    """Needs a method's `encode` and `decode`, between which channels are dropped."""

    info = StrategyInfo(
        name="unimatch",
        title="UniMatch V2",
        paper="Yang, Zhao, Zhao: UniMatch V2: Pushing the limit of semi-supervised semantic segmentation, TPAMI 2025, "
        "arXiv 2410.10777",
        year=2024,
        uses_unlabeled=True,
        needs_encode_decode=True,
        couples_samples=True,
        step_cost=1.67,
        neutral={"weight": 0.0},
    )
    Options = UniMatchOptions
    options: UniMatchOptions

    def added(self, image: Tensor) -> Tensor:
        target, sure = self.target(image)
        views = [self.strong(image, target, sure) for _ in range(2)]
        shown, targets, where = (torch.cat(parts) for parts in zip(*views, strict=True))
        return confident_loss(self.student(shown), targets, where)

    def student(self, image: Tensor) -> Tensor:
        """Logits of both views, the second half of the batch being the first's other view. A stage that is judged by a part of the
        network drops no channels: only `forward` is made of `encode` and `decode`."""
        if not (self.training and self.options.channel_dropout and self.stage.logits == "forward"):
            return self.logits_of(self.method)(image)
        method = cast(DenseMethod, self.method)
        return method.decode(self.divided(method.encode(image)))

    def divided(self, maps: FeatureMaps) -> FeatureMaps:
        """Maps of two views, of which each channel reaches one, at twice its size, in some of the images; the others stay."""
        count, generator = len(maps.levels[0]) // 2, self.ctx.generator
        order = torch.rand(count, generator=generator, device=maps.levels[0].device).argsort()
        kept_whole = int(
            count * (1 - self.options.channel_dropout) + 1e-9
        )  # of an odd number of images, the smaller half
        chosen = (order >= kept_whole).view(-1, 1, 1, 1)

        def factors(level: Tensor) -> Tensor:
            drawn = torch.rand(count, level.shape[1], 1, 1, generator=generator, device=level.device)
            kept = torch.where(chosen, 2.0 * (drawn < 0.5), 1.0)
            return level * torch.cat((kept, 2 - kept)).to(level.dtype)

        return maps.each(factors)
