"""Validation during training: Dice at the working size on the validation split, and the objective's terms.

This selects the best weights and steers plateau and early stopping. The figures that a run reports at its end are
computed anew at each image's native resolution (`engine.finish`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from delineate.data.case import IGNORE
from delineate.methods.contract import Batch, Context


@dataclass(frozen=True)
class ValidationResult:
    """`dice`: mean over cases; `loss`: mean of each term over batches, weighted by their size, and `total`."""

    dice: float
    loss: dict[str, float]


@torch.no_grad()
def validate(
    objective: Callable[[Batch, Context], dict[str, Tensor]],
    logits: Callable[[Tensor], Tensor],
    batches: Iterator[Batch],
    ctx: Context,
    autocast: Callable[[], AbstractContextManager[None]],
) -> ValidationResult:
    """One pass; the caller sets eval mode. `autocast` makes the context for the forward passes."""
    dice: list[float] = []
    sums: dict[str, float] = defaultdict(float)
    count = 0
    for batch in batches:
        with autocast():
            terms = objective(batch, ctx)
            output = logits(batch["image"])
        size = len(batch["sample_id"])
        for name, term in terms.items():
            sums[name] += float(term) * size
        count += size
        dice += case_dice(output.float(), batch["mask"])
    means = {name: total / max(1, count) for name, total in sums.items()}
    return ValidationResult(float(np.mean(dice)) if dice else 0.0, {"total": sum(means.values()), **means})


def case_dice(logits: Tensor, mask: Tensor) -> list[float]:
    """Dice per case, B×K×H×W logits against B×H×W classes (255 ignored).

    Binary: both empty = 1. Several classes: mean over the foreground classes present in the reference or predicted.
    """
    predicted = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    classes = 2 if logits.shape[1] == 1 else logits.shape[1]
    seen = mask != IGNORE
    scores = []
    for index in range(1, classes):
        ours, theirs = (predicted == index) & seen, (mask == index) & seen
        both = (ours & theirs).sum((1, 2)).double()
        sizes = (ours.sum((1, 2)) + theirs.sum((1, 2))).double()
        scores.append(torch.where(sizes > 0, 2 * both / sizes, torch.nan))
    table = torch.stack(scores, 1).cpu()
    return [1.0 if row.isnan().all() else float(row.nanmean()) for row in table]


class evaluating:  # noqa: N801 - reads as a statement
    """Context in which a module is in eval mode; its former mode returns afterwards."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.was_training = module, module.training

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.was_training)
