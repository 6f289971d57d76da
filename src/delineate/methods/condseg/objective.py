"""The losses of ConDSeg, for both stages. Masks are what `Output.target` makes of class indices, or float shares of the foreground;
255 = ignore."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.class_weights import ClassWeights, weights_of
from delineate.nn.losses import IGNORE, Pool, cross_entropy, dice, foreground_target
from delineate.nn.output import Output

__all__ = [
    "Beta",
    "LossInput",
    "Maps",
    "bce_dice",
    "complement_loss",
    "coverage_weight",
    "mask_loss",
    "reinforcement_terms",
    "segmentation_terms",
]

Beta = Literal["batch_sum", "per_image", "one"]
LossInput = Literal["logits", "probabilities"]
"""What a loss that is meant for logits is given: these, or probabilities as if they were logits (the released code's slip)."""
_MIN_COVERAGE = 0.05
"""Bound of `per_image`: at most 1/tanh(.05) ≈ 20."""


class Maps(NamedTuple):
    """The predictions of stage II, as logits at the image's size."""

    mask: Tensor
    """B×K×H×W."""
    foreground: Tensor
    """B×1×H×W, like the two that follow."""
    background: Tensor
    uncertainty: Tensor


def mask_loss(
    logits: Tensor,
    target: Tensor,
    output: Output,
    *,
    on: LossInput = "logits",
    pool: Pool = "image",
    class_weights: ClassWeights = None,
) -> Tensor:
    """Binary cross-entropy + Dice (smooth 1); with several classes cross-entropy + Dice; of regions both of each by itself."""
    if on == "probabilities":
        logits = output.probabilities(logits)
    weights = weights_of(class_weights, logits, target)
    return cross_entropy(logits, target, class_weights=weights) + dice(logits, target, pool=pool)


def reinforcement_terms(
    plain: Tensor,
    strong: Tensor,
    target: Tensor,
    output: Output,
    *,
    on: LossInput = "logits",
    pool: Pool = "image",
    class_weights: ClassWeights = None,
) -> dict[str, Tensor]:
    """Stage I: both views against the mask, and each view against the other's hard prediction."""
    hard_target = output.hard_target
    return {
        "mask": mask_loss(plain, target, output, on=on, pool=pool, class_weights=class_weights),
        "mask_strong": mask_loss(strong, target, output, on=on, pool=pool, class_weights=class_weights),
        "consistency": cross_entropy(plain, hard_target(strong)) + cross_entropy(strong, hard_target(plain)),
    }


def segmentation_terms(
    maps: Maps,
    target: Tensor,
    output: Output,
    *,
    beta: Beta,
    detach_coverage: bool,
    complement: LossInput,
    on: LossInput = "logits",
    pool: Pool = "image",
    against_background: Tensor | None = None,
    class_weights: ClassWeights = None,
) -> dict[str, Tensor]:
    """Stage II: mask, weighted foreground and background maps (against the union of all classes or regions, and its complement),
    and the term that keeps the three maps apart. `against_background`: a mask of its own for the background map."""

    def weighted(logits: Tensor, against: Tensor) -> Tensor:
        loss = bce_dice(logits, against, on=on, pool=pool)
        return (coverage_weight(logits, beta, detach=detach_coverage) * loss).mean()

    return {
        "mask": mask_loss(maps.mask, target, output, on=on, pool=pool, class_weights=class_weights),
        "foreground": weighted(maps.foreground, _union(target)),
        "background": weighted(
            maps.background, _complement(target if against_background is None else against_background)
        ),
        "complement": complement_loss(maps, on=complement),
    }


def bce_dice(logits: Tensor, target: Tensor, *, on: LossInput = "logits", pool: Pool = "image") -> Tensor:
    """Binary cross-entropy + Dice (smooth 1) of each image: B×1×H×W against B×H×W (255 = ignore) → B. `pool` "batch": every
    image has the Dice of all of them."""
    valid = (target != IGNORE).flatten(1).float()
    x, y = logits.float().flatten(1), target.flatten(1).float() * valid
    if on == "probabilities":
        x = x.sigmoid()
    count = valid.sum(1)
    bce = (F.binary_cross_entropy_with_logits(x, y, reduction="none") * valid).sum(1) / count.clamp_min(1)
    p = x.sigmoid() * valid
    axes = 1 if pool == "image" else (0, 1)
    overlap = (2 * (p * y).sum(axes) + 1) / (p.sum(axes) + y.sum(axes) + 1)
    return bce + (1 - overlap) * (count > 0 if pool == "image" else valid.any())


def coverage_weight(logits: Tensor, beta: Beta, *, detach: bool) -> Tensor:
    """β = 1/tanh(predicted coverage), so that small regions weigh more: B×1×H×W → one weight or B.

    `batch_sum` sums the images' coverages (what the authors' released code does: about 1 for usual batches), `per_image`
    is the printed formula for each image by itself, coverage bounded from below, and `one` leaves the weight out.
    """
    coverage = logits.float().sigmoid().flatten(1).mean(1)
    if detach:
        coverage = coverage.detach()
    if beta == "one":
        return torch.ones_like(coverage)
    return 1 / torch.tanh(coverage.sum() if beta == "batch_sum" else coverage.clamp_min(_MIN_COVERAGE))


def complement_loss(maps: Maps, *, on: LossInput) -> Tensor:
    """Mean over pixels of the pairwise products of softmax(foreground, background, uncertainty): 0 when every pixel
    belongs to one of them. `probabilities`: the softmax is taken of the sigmoided maps."""
    stacked = torch.cat((maps.foreground, maps.background, maps.uncertainty), 1).float()
    fg, bg, uc = (stacked.sigmoid() if on == "probabilities" else stacked).softmax(1).unbind(1)
    return (fg * bg + fg * uc + bg * uc).mean()


def _union(target: Tensor) -> Tensor:
    """Shares stay as they are; of class indices, all foreground classes as one."""
    return target if target.is_floating_point() else foreground_target(target)


def _complement(target: Tensor) -> Tensor:
    inside = _union(target)
    return torch.where(inside == IGNORE, inside, 1 - inside)
