"""Entropy minimization: the network is to be sure of every pixel, also on images without masks."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from delineate.methods.contract import READING
from delineate.nn.certainty import entropy, largest_entropy
from delineate.strategies.added_term import AddedTerm, AddedTermOptions
from delineate.strategies.contract import StrategyInfo

__all__ = ["EntropyMinimization", "EntropyOptions"]


class EntropyOptions(AddedTermOptions):
    weight: float = Field(
        0.1, ge=0, description="of the entropy; 0: plain supervised training", json_schema_extra=READING
    )


class EntropyMinimization(AddedTerm):
    """The mean entropy of the pixels, as a share of the largest there is."""

    term = "entropy"
    info = StrategyInfo(
        name="entropy",
        title="Entropy minimization",
        paper="Grandvalet, Bengio: Semi-supervised learning by entropy minimization, NeurIPS 2004",
        year=2004,
        uses_unlabeled=True,
        neutral={"weight": 0.0},
    )
    Options = EntropyOptions
    options: EntropyOptions

    def added(self, image: Tensor) -> Tensor:
        output = self.method.output
        return entropy(self.logits_of(self.method)(image), output).mean() / largest_entropy(output)
