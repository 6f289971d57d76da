"""FixMatch: a strong view learns the classes that the teacher finds in the image itself, where the teacher is sure of them."""

from __future__ import annotations

from torch import Tensor

from delineate.strategies.confident_labels import ConfidentLabels, ConfidentLabelsOptions, confident_loss
from delineate.strategies.contract import StrategyInfo

__all__ = ["FixMatch", "FixMatchOptions"]


class FixMatchOptions(ConfidentLabelsOptions):
    pass


class FixMatch(ConfidentLabels):
    """One strong view; works with every dense method."""

    info = StrategyInfo(
        name="fixmatch",
        title="FixMatch",
        paper="Sohn et al.: FixMatch: Simplifying semi-supervised learning with consistency and confidence, NeurIPS 2020, "
        "arXiv 2001.07685",
        year=2020,
        uses_unlabeled=True,
        couples_samples=True,
        step_cost=1.17,
        neutral={"weight": 0.0},
    )
    Options = FixMatchOptions
    options: FixMatchOptions

    def added(self, image: Tensor) -> Tensor:
        shown, target, sure = self.strong(image, *self.target(image))
        return confident_loss(self.logits_of(self.method)(shown), target, sure)
