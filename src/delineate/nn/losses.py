"""Segmentation losses on logits: cross-entropy (BCE), focal, Dice, Tversky and boundary loss.

Conventions, shared by all functions: `logits` float B×K×H×W, `target` long B×H×W with 255 = ignore. K = 1 is binary with
sigmoid (target 1 against 0), K > 1 softmax over classes. A target long B×K×H×W has a map of 0 and 1 for each channel (nested
regions: `nn.output.Output.target`): then each channel is a binary problem by itself, and counts as much as the others.

Each sample gets its own value and the result is their mean over all B samples, so a batch divided evenly over processes gives the
same gradient. A sample without any valid pixel counts as 0. Everything is computed in float32, also in mixed precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.boundary_loss import Gradient, boundary_loss

__all__ = [
    "IGNORE",
    "Pool",
    "bce",
    "boundary",
    "cross_entropy",
    "dice",
    "focal",
    "foreground_target",
    "pixel_cross_entropy",
    "tversky",
]

IGNORE = 255
"""Target value of pixels that do not count."""

Pool = Literal["image", "batch"]
"""Over which pixels Dice and Tversky sum: those of each image, or of the whole batch."""


def bce(logits: Tensor, target: Tensor, *, class_weights: Sequence[float] | None = None) -> Tensor:
    """Binary cross-entropy, mean over the valid pixels of each sample.

    Args:
        logits: Float B×1×H×W.
        target: Long B×H×W: 1 = foreground, 0 = background, 255 = ignore. Or soft labels, float in [0, 1]; then values below 0 or
            above 1 are ignored.
        class_weights: Weights of background and foreground.

    Returns:
        A float32 scalar.

    Example:
        >>> from delineate.nn.losses import bce
        >>> float(bce(torch.zeros(2, 1, 8, 8), torch.ones(2, 8, 8, dtype=torch.long)))  # ln 2
        0.693...
    """
    logits = logits.float().squeeze(1)
    valid, y = _binary(target)
    loss = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    if class_weights is None:
        return _per_sample_mean(loss, valid.float())
    background, foreground = class_weights
    return _per_sample_mean(loss, valid * (background + (foreground - background) * y))


def cross_entropy(logits: Tensor, target: Tensor, *, class_weights: Sequence[float] | None = None) -> Tensor:
    """Cross-entropy of K classes, (weighted) mean over the valid pixels of each sample. K = 1 is `bce`.

    Args:
        logits: Float B×K×H×W.
        target: Long B×H×W class indices, 255 = ignore; or B×K×H×W.
        class_weights: One per class, background first; two where K = 1; of regions one for what lies outside of a region, then one
            for the inside of each. The mean is then divided by the sum of the weights.

    Returns:
        A float32 scalar.

    Example:
        >>> from delineate.nn.losses import cross_entropy
        >>> float(cross_entropy(torch.zeros(2, 4, 8, 8), torch.ones(2, 8, 8, dtype=torch.long)))  # ln 4
        1.386...
    """
    if logits.shape[1] == 1 and target.ndim == 3:
        return bce(logits, target, class_weights=class_weights)
    return _weighted_mean(pixel_cross_entropy(logits, target), target, class_weights, logits)


def focal(
    logits: Tensor, target: Tensor, *, gamma: float = 2.0, class_weights: Sequence[float] | None = None
) -> Tensor:
    """Focal loss (Lin et al., ICCV 2017): cross-entropy · (1 − p of the true class)^gamma, mean over the valid pixels.

    Args:
        logits: Float B×K×H×W.
        target: Long B×H×W class indices, 255 = ignore; or B×K×H×W.
        gamma: 0 is cross-entropy; the larger, the less do pixels count that are right already.
        class_weights: As for `cross_entropy`.

    Returns:
        A float32 scalar.

    Example:
        >>> from delineate.nn.losses import focal
        >>> float(focal(torch.zeros(2, 1, 8, 8), torch.ones(2, 8, 8, dtype=torch.long)))  # ln 2 / 4
        0.173...
    """
    loss = pixel_cross_entropy(logits, target)
    # −expm1(−loss) is 1 − p, exact also where p is close to 1.
    return _weighted_mean(loss * (-torch.expm1(-loss)).pow(gamma), target, class_weights, logits)


def dice(logits: Tensor, target: Tensor, *, smooth: float = 1.0, pool: Pool = "image") -> Tensor:
    """Soft Dice loss 1 − (2·Σpy + smooth) / (Σp + Σy + smooth), mean over foreground classes, then samples.

    Args:
        logits: Float B×K×H×W.
        target: Long B×H×W class indices, 255 = ignore; or B×K×H×W.
        smooth: Added to both sides of the fraction, in pixels; also what an empty mask is compared by.
        pool: "image": one value per image and class. "batch": sums over the whole batch first, one value per class. That is
            steadier for small structures, but a batch divided over processes then gives another gradient.

    Returns:
        A float32 scalar in [0, 1].

    Example:
        >>> from delineate.nn.losses import dice
        >>> mask = torch.ones(2, 8, 8, dtype=torch.long)
        >>> round(float(dice(100.0 * mask[:, None].float(), mask)), 3)
        0.0
    """
    return tversky(logits, target, alpha=0.5, beta=0.5, smooth=smooth / 2, pool=pool)


def tversky(
    logits: Tensor, target: Tensor, *, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0, pool: Pool = "image"
) -> Tensor:
    """Tversky loss (Salehi et al., MLMI 2017): 1 − (TP + smooth) / (TP + alpha·FP + beta·FN + smooth), soft counts.

    Mean over foreground classes, then samples; alpha = beta = ½ is Dice (with half the smoothing constant).

    Args:
        logits: Float B×K×H×W.
        target: Long B×H×W class indices, 255 = ignore; or B×K×H×W.
        alpha: Weight of false positives.
        beta: Weight of false negatives; above `alpha` it favors recall.
        smooth: Added to both sides of the fraction, in pixels.
        pool: As for `dice`.

    Returns:
        A float32 scalar in [0, 1].

    Example:
        >>> from delineate.nn.losses import tversky
        >>> mask = torch.ones(2, 8, 8, dtype=torch.long)
        >>> round(float(tversky(100.0 * mask[:, None].float(), mask)), 3)
        0.0
    """
    p, y, valid = _probabilities(logits, target)
    axes = (0, 2, 3) if pool == "batch" else (2, 3)
    true_positive = (p * y).sum(axes)
    false_positive, false_negative = p.sum(axes) - true_positive, y.sum(axes) - true_positive
    loss = 1 - (true_positive + smooth) / (true_positive + alpha * false_positive + beta * false_negative + smooth)
    if pool == "batch":
        return loss.mean() * valid.any()
    return (loss.mean(1) * valid.flatten(1).any(1)).mean()


def boundary(
    logits: Tensor, target: Tensor, *, gradient: Gradient = "central", scales: Sequence[int] = (1, 2, 4)
) -> Tensor:
    """`nn.boundary_loss` of the foreground classes' probabilities: edges are compared with those of the mask, at several scales.

    Args:
        logits: Float B×K×H×W.
        target: Long B×H×W class indices, 255 = ignore; or B×K×H×W.
        gradient: How edges are found, as for `boundary_loss`.
        scales: Sides of the average pools at which edges are compared, in pixels.

    Returns:
        A float32 scalar, at least 0.

    Example:
        >>> from delineate.nn.losses import boundary
        >>> mask = torch.zeros(1, 16, 16, dtype=torch.long)
        >>> mask[:, 4:12, 4:12] = 1
        >>> right = 100.0 * (2 * mask[:, None].float() - 1)
        >>> float(boundary(right, mask)) < float(boundary(-right, mask[:, :, [0] * 16]))
        True
    """
    p, y, valid = _probabilities(logits, target)
    return boundary_loss(p, y, valid, gradient=gradient, scales=scales)


def foreground_target(target: Tensor) -> Tensor:
    """All foreground classes, or regions, as one.

    Args:
        target: Long B×H×W class indices, 255 = ignore; or B×K×H×W.

    Returns:
        B×H×W: 1 = any foreground class, 0 = background; 255 stays.

    Example:
        >>> from delineate.nn.losses import foreground_target
        >>> foreground_target(torch.tensor([[[0, 1, 2, 255]]]))
        tensor([[[  0,   1,   1, 255]]])
    """
    if target.ndim == 4:
        target = target.amax(1)
    return torch.where(target == IGNORE, target, (target > 0).to(target.dtype))


def _binary(target: Tensor) -> tuple[Tensor, Tensor]:
    """Valid pixels (bool) and the target as float, 0 where ignored."""
    valid = (target >= 0) & (target <= 1)
    return valid, torch.where(valid, target, torch.zeros_like(target)).float()


def pixel_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each pixel, for losses that weigh pixels themselves.

    Args:
        logits: Float B×K×H×W.
        target: Long B×H×W class indices, 255 = ignore; or B×K×H×W.

    Returns:
        Float32 of the target's shape; what it is at ignored pixels does not matter.

    Example:
        >>> from delineate.nn.losses import pixel_cross_entropy
        >>> float(pixel_cross_entropy(torch.zeros(1, 4, 1, 1), torch.ones(1, 1, 1, dtype=torch.long)))  # ln 4
        1.386...
    """
    if target.ndim == 4 or logits.shape[1] == 1:
        _, y = _binary(target)
        return F.binary_cross_entropy_with_logits(logits.float().view_as(y), y, reduction="none")
    return F.cross_entropy(logits.float(), target, ignore_index=IGNORE, reduction="none")


def _probabilities(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities and one-hot target of the foreground classes, B×(K−1 or 1)×H×W (of a target for each channel B×K×H×W), zero
    where ignored; valid pixels B×H×W."""
    if target.ndim == 4 or logits.shape[1] == 1:
        valid, y = _binary(target if target.ndim == 4 else target[:, None])
        return torch.sigmoid(logits.float()) * valid, y, valid[:, 0]
    valid = target != IGNORE
    known = torch.where(valid, target, torch.zeros_like(target))
    y = F.one_hot(known, logits.shape[1]).movedim(3, 1)[:, 1:].float()
    return logits.float().softmax(1)[:, 1:] * valid[:, None], y * valid[:, None], valid


def _weighted_mean(loss: Tensor, target: Tensor, class_weights: Sequence[float] | None, logits: Tensor) -> Tensor:
    if target.ndim == 3:
        return _per_sample_mean(loss, _pixel_weights(target, class_weights, logits))
    valid, y = _binary(target)
    weight = valid.float()
    if class_weights is not None:
        outside, *inside = class_weights
        weight = weight * (outside + (torch.tensor(inside, device=loss.device).view(-1, 1, 1) - outside) * y)
    return _per_sample_mean(loss.flatten(0, 1), weight.flatten(0, 1))  # each channel of a sample as one of its own


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
