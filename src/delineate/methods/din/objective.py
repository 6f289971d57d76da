"""The loss of DIN: α·cross-entropy + β·Dice + multi-scale boundary loss, on logits."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from delineate.methods.contract import PAPER, READING
from delineate.nn.boundary_loss import Gradient, boundary_loss
from delineate.nn.class_weights import DESCRIPTION, ClassWeights, weights_of
from delineate.nn.losses import IGNORE, Pool, cross_entropy

__all__ = ["DINLossOptions", "probability_maps", "squared_dice", "terms"]

_SMOOTH = 1e-5


class DINLossOptions(BaseModel):
    """A weighted sum of losses; a term with weight 0 is not computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cross_entropy: float = Field(0.3, ge=0, description="weight of cross-entropy", json_schema_extra=PAPER)
    dice: float = Field(0.7, ge=0, description="weight of Dice", json_schema_extra=PAPER)
    boundary: float = Field(1.0, ge=0, description="weight of the boundary loss", json_schema_extra=PAPER)
    class_weights: ClassWeights = Field(None, description=DESCRIPTION, json_schema_extra=READING)
    boundary_ramp: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of training in which the boundary loss's weight rises from 0; 0: full weight from the first step",
        json_schema_extra=READING,
    )
    scales: tuple[PositiveInt, ...] = Field(
        (1, 2, 4), min_length=1, description="average pools of the boundary loss", json_schema_extra=PAPER
    )
    gradient: Gradient = Field(
        "central", description="gradient extractor of the boundary loss", json_schema_extra=READING
    )
    background: bool = Field(
        True, description="the boundary loss compares the background's map too", json_schema_extra=READING
    )
    pool: Pool = Field("batch", description="Dice over the whole batch, or of each image", json_schema_extra=READING)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not (self.cross_entropy or self.dice or self.boundary):
            raise ValueError("at least one of cross_entropy, dice and boundary must be above 0")
        if self.boundary_ramp and not self.boundary:
            raise ValueError(
                "boundary_ramp raises the weight of the boundary loss, and boundary is 0: leave one of them out"
            )
        return self


def terms(logits: Tensor, target: Tensor, options: DINLossOptions, progress: float = 1.0) -> dict[str, Tensor]:
    """The terms by name, each times its weight: logits B×K×H×W, target long B×H×W (255 = ignore; of regions B×K×H×W).

    `progress`: share of training that is done, for `boundary_ramp`; by default the loss as it is in the end.
    """
    found: dict[str, Tensor] = {}
    if options.cross_entropy:
        found["cross_entropy"] = options.cross_entropy * cross_entropy(
            logits, target, class_weights=weights_of(options.class_weights, logits, target)
        )
    predicted, reference, valid = probability_maps(logits, target)
    if options.dice:
        found["dice"] = options.dice * squared_dice(predicted, reference, valid, pool=options.pool)
    if options.boundary:
        first = 0 if options.background or target.ndim == 4 else 1  # regions have no map of the background
        weight = options.boundary * _ramp(progress, options.boundary_ramp)
        found["boundary"] = weight * boundary_loss(
            predicted[:, first:], reference[:, first:], valid, gradient=options.gradient, scales=options.scales
        )
    return found


def _ramp(progress: float, share: float) -> float:
    """From 0 straight up to 1, which is reached when `share` of training is done."""
    return 1.0 if share == 0 else min(1.0, progress / share)


def probability_maps(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities and one-hot reference of all classes, background first, B×max(2, K)×H×W in float32, and the valid pixels
    B×H×W. One channel is binary: background 1 − p, foreground p; there labels above 1 count as to be ignored. Of regions: those of
    each, B×K×H×W, without a background."""
    logits, valid = logits.float(), target != IGNORE
    if target.ndim == 4:
        return logits.sigmoid(), (target * valid).float(), valid[:, 0]
    if logits.shape[1] == 1:
        # softmax of (0, x) is (1 − sigmoid x, sigmoid x), without cancellation.
        logits, valid = torch.cat((torch.zeros_like(logits), logits), 1), (target >= 0) & (target <= 1)
    inside = torch.where(valid, target, torch.zeros_like(target))
    return logits.softmax(1), F.one_hot(inside, logits.shape[1]).movedim(3, 1).float(), valid


def squared_dice(predicted: Tensor, reference: Tensor, valid: Tensor, *, pool: Pool = "batch") -> Tensor:
    """1 − (2·Σpy + ε) / (Σp² + Σy² + ε), ε = 1e-5, sums over valid pixels of the batch (or of each image), mean over all classes
    including the background. An image (with `batch`: a batch) without valid pixels counts as 0."""
    inside = valid[:, None]
    p, y = predicted * inside, reference * inside
    axes = (0, 2, 3) if pool == "batch" else (2, 3)
    hit, total = (p * y).sum(axes), (p.square() + y.square()).sum(axes)
    loss = 1 - (2 * hit + _SMOOTH) / (total + _SMOOTH)
    if pool == "batch":
        return loss.mean() * valid.any()
    return (loss.mean(1) * valid.flatten(1).any(1)).mean()
