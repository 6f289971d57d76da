"""Segmentation losses on logits.

Conventions, shared by all functions: `logits` float B×K×H×W, `target` long B×H×W with 255 = ignore. K = 1 is binary with
sigmoid (target 1 against 0), K > 1 softmax over classes. Each sample gets its own value and the result is their mean over
all B samples, so a batch divided evenly over processes gives the same gradient. A sample without any valid pixel counts
as 0. Everything is computed in float32, also under autocast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.boundary_loss import Gradient, boundary_loss

IGNORE = 255
"""Target value of pixels that do not count."""

Pool = Literal["image", "batch"]


def bce(logits: Tensor, target: Tensor, *, class_weights: Sequence[float] | None = None) -> Tensor:
    """Binary cross-entropy, mean over valid pixels of each sample. `class_weights`: (background, foreground).

    `logits` B×1×H×W. A float `target` in [0, 1] (soft labels) is taken as it is; there, negative or > 1 means ignore.
    """
    logits = logits.float().squeeze(1)
    valid, y = _binary(target)
    loss = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    if class_weights is None:
        return _per_sample_mean(loss, valid.float())
    background, foreground = class_weights
    return _per_sample_mean(loss, valid * (background + (foreground - background) * y))


def cross_entropy(logits: Tensor, target: Tensor, *, class_weights: Sequence[float] | None = None) -> Tensor:
    """Cross-entropy of K classes, (weighted) mean over the valid pixels of each sample. K = 1 is `bce`."""
    if logits.shape[1] == 1:
        return bce(logits, target, class_weights=class_weights)
    loss = F.cross_entropy(logits.float(), target, ignore_index=IGNORE, reduction="none")
    return _per_sample_mean(loss, _pixel_weights(target, class_weights, logits))


def focal(
    logits: Tensor, target: Tensor, *, gamma: float = 2.0, class_weights: Sequence[float] | None = None
) -> Tensor:
    """Focal loss (Lin et al., ICCV 2017): cross-entropy · (1 − p of the true class)^gamma, mean over valid pixels."""
    if logits.shape[1] == 1:
        _, y = _binary(target)
        loss = F.binary_cross_entropy_with_logits(logits.float().squeeze(1), y, reduction="none")
    else:
        loss = F.cross_entropy(logits.float(), target, ignore_index=IGNORE, reduction="none")
    # −expm1(−loss) is 1 − p without cancellation.
    return _per_sample_mean(loss * (-torch.expm1(-loss)).pow(gamma), _pixel_weights(target, class_weights, logits))


def dice(logits: Tensor, target: Tensor, *, smooth: float = 1.0, pool: Pool = "image") -> Tensor:
    """Soft Dice loss 1 − (2·Σpy + smooth) / (Σp + Σy + smooth), mean over foreground classes, then samples.

    `pool="batch"` sums over the whole batch first (one value per class): steadier for small structures, but a batch
    divided over processes then no longer gives the same gradient.
    """
    return tversky(logits, target, alpha=0.5, beta=0.5, smooth=smooth / 2, pool=pool)


def tversky(
    logits: Tensor, target: Tensor, *, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0, pool: Pool = "image"
) -> Tensor:
    """Tversky loss (Salehi et al., MLMI 2017): 1 − (TP + smooth) / (TP + alpha·FP + beta·FN + smooth), soft counts.

    Mean over foreground classes, then samples; alpha = beta = ½ is Dice (with half the smoothing constant).
    """
    p, y, valid = _probabilities(logits, target)
    axes = (0, 2, 3) if pool == "batch" else (2, 3)
    hit, predicted, wanted = (p * y).sum(axes), p.sum(axes), y.sum(axes)
    wrong, missed = predicted - hit, wanted - hit
    loss = 1 - (hit + smooth) / (hit + alpha * wrong + beta * missed + smooth)
    if pool == "batch":
        return loss.mean() * valid.any()
    return (loss.mean(1) * valid.flatten(1).any(1)).mean()


def boundary(
    logits: Tensor, target: Tensor, *, gradient: Gradient = "central", scales: Sequence[int] = (1, 2, 4)
) -> Tensor:
    """`boundary_loss` of the foreground classes' probabilities: how far their edges are from the mask's, at several scales."""
    p, y, valid = _probabilities(logits, target)
    return boundary_loss(p, y, valid, gradient=gradient, scales=scales)


def foreground(target: Tensor) -> Tensor:
    """The union of all foreground classes as a binary target (1 against 0; 255 stays): long B×H×W → the same."""
    return torch.where(target == IGNORE, target, (target > 0).to(target.dtype))


def _binary(target: Tensor) -> tuple[Tensor, Tensor]:
    """Valid pixels (bool) and the target as float, 0 where ignored."""
    valid = (target >= 0) & (target <= 1)
    return valid, torch.where(valid, target, torch.zeros_like(target)).float()


def _probabilities(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities and one-hot target of the foreground classes, B×(K−1 or 1)×H×W, zero where ignored; valid pixels."""
    if logits.shape[1] == 1:
        valid, y = _binary(target)
        return torch.sigmoid(logits.float()) * valid[:, None], y[:, None], valid
    valid = target != IGNORE
    inside = torch.where(valid, target, torch.zeros_like(target))
    y = F.one_hot(inside, logits.shape[1]).movedim(3, 1)[:, 1:].float()
    return logits.float().softmax(1)[:, 1:] * valid[:, None], y * valid[:, None], valid


def _pixel_weights(target: Tensor, class_weights: Sequence[float] | None, logits: Tensor) -> Tensor:
    valid = _binary(target)[0] if logits.shape[1] == 1 else target != IGNORE
    if class_weights is None:
        return valid.float()
    weights = torch.tensor(class_weights, device=logits.device)
    return weights[torch.where(valid, target, torch.zeros_like(target))] * valid


def _per_sample_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over each sample's pixels, then the mean over samples; a sample of weight 0 counts as 0."""
    total = weight.flatten(1).sum(1)
    return ((loss * weight).flatten(1).sum(1) / total.clamp_min(torch.finfo(total.dtype).tiny)).mean()
