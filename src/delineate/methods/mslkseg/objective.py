"""The loss of MS-LKSeg, cross-entropy and Dice on the logits; and the temperature during training."""

from __future__ import annotations

from torch import Tensor

from delineate.nn.segmentation_loss import LossOptions, segmentation_loss

__all__ = ["BINARY", "temperature", "terms"]

BINARY = LossOptions(cross_entropy=0.5, dice=1.0)
_SEVERAL = LossOptions(cross_entropy=1.0, dice=1.0)


def terms(logits: Tensor, target: Tensor, loss: LossOptions | None) -> dict[str, Tensor]:
    """B×K×H×W against B×H×W (255 = ignore; of regions B×K×H×W). Without `loss`: ½ BCE + Dice for K = 1, else
    cross-entropy + Dice."""
    default = BINARY if logits.shape[1] == 1 else _SEVERAL
    return segmentation_loss(logits, target, loss or default)


def temperature(progress: float, *, start: float, share: float) -> float:
    """Of the dynamic convolutions, when `progress` (0..1) of training is done: from `start` straight down to 1, which it
    reaches at `share`."""
    done = 1.0 if share == 0 else min(1.0, progress / share)
    return start + (1 - start) * done
