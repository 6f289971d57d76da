"""Validation during training: Dice at the working size on the validation split, and the objective's terms.

Where the network sees windows, Dice is that of whole images, blended from tiles; the terms are means over the tiles.

This selects the best weights and steers plateau and early stopping. The figures that a run reports at its end are
computed anew at each image's native resolution (`engine.finish`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from delineate.data.cache import Cache
from delineate.data.case import IGNORE
from delineate.data.patches import Size
from delineate.inference.tiles import Blending
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
    score: Callable[[Tensor, Tensor], list[float]] | None = None,
) -> ValidationResult:
    """One pass; the caller sets eval mode. `autocast` makes the context for the forward passes; `score` gives the Dice of the
    cases that are complete with a batch's logits and masks (default: `case_dice`)."""
    score = score or case_dice
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
        dice += score(output.float(), batch["mask"])
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


class TiledDice:
    """`case_dice` of whole images, given batch by batch the logits of their tiles, in the order of `PatchLoader.once`."""

    def __init__(self, cache: Cache, tile: Size) -> None:
        self._cache, self._tile = cache, tile
        self._case = -1
        self._next_case()

    def __call__(self, logits: Tensor, mask: Tensor) -> list[float]:
        """The Dice of the images that these tiles complete. `mask` is not used: the references are the cache's."""
        probabilities = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
        finished = []
        for tile in probabilities.cpu().numpy():
            rows = self._blending.add(tile)
            if rows is None:
                continue
            self._count(rows)
            if self._row == len(self._reference):
                finished.append(_mean_dice(self._both, self._sizes))
                self._next_case()
        return finished

    def _next_case(self) -> None:
        self._case, self._row = self._case + 1, 0
        self._both: Any = 0
        self._sizes: Any = 0
        if self._case < len(self._cache):
            self._reference = self._cache.mask(self._case)
            height, width = self._reference.shape
            self._blending = Blending((height, width), self._tile)

    def _count(self, rows: NDArray[np.float32]) -> None:
        """Add to the pixels in both masks, and to those of the two together, per foreground class, what these rows have."""
        reference = self._reference[self._row : self._row + rows.shape[1]]
        self._row += rows.shape[1]
        predicted = np.where(reference == IGNORE, IGNORE, rows[0] > 0.5 if len(rows) == 1 else rows.argmax(0))
        for_class = np.arange(1, max(2, len(rows)))[:, None, None]
        ours, theirs = predicted == for_class, reference == for_class
        self._both = self._both + (ours & theirs).sum((1, 2))
        self._sizes = self._sizes + ours.sum((1, 2)) + theirs.sum((1, 2))


def _mean_dice(both: NDArray[Any], sizes: NDArray[Any]) -> float:
    """Mean over the classes present in either mask; 1 where there is none."""
    seen = sizes > 0
    return float(np.mean(2 * both[seen] / sizes[seen])) if seen.any() else 1.0


class evaluating:  # noqa: N801 - reads as a statement
    """Context in which a module is in eval mode; its former mode returns afterwards."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.was_training = module, module.training

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.was_training)
