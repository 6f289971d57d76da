"""Validation during training, at the working size on the validation split: what the weights are judged by, and the terms.

Where the network is trained on patches, whole images are judged, predicted by a sliding window; the terms are means over its tiles.

This selects the best weights and steers plateau and early stopping (`engine.best_weights` says how). The figures that a run reports
at its end are computed anew at each image's native resolution (`engine.native_scores`).
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from delineate.data.augment.patches import Size
from delineate.data.cache.cache import Cache
from delineate.data.core.findings import some
from delineate.data.core.manifest import IGNORE
from delineate.data.core.regions import is_one_of
from delineate.engine.best_weights import (
    SCORE_WORDS,
    BestScore,
    CaseCounts,
    Judgment,
    SelectBy,
    is_better,
    judge_validation,
)
from delineate.inference.sliding_window import TileBlender
from delineate.methods.contract import Batch, Context
from delineate.nn.output import Output

__all__ = [
    "TiledCounts",
    "ValidationJob",
    "ValidationResult",
    "VolumeCounts",
    "count_cases",
    "evaluating",
    "forward_seconds",
    "not_finite_samples",
    "validate",
]

_ABOVE_HALF: Final = float(np.nextafter(np.float32(0.5), np.float32(1)))
"""The least probability above ½, as logits above 0 have it."""


@dataclass(frozen=True)
class ValidationResult:
    """What one validation showed."""

    judgment: Judgment
    loss: dict[str, float]
    """Mean of each term over batches, weighted by their size, and `total`."""
    fault: str | None = None
    """What was not finite; such weights are not kept, whatever the judgment."""

    @classmethod
    def of(cls, counted: list[CaseCounts], means: dict[str, float], faulty: list[str]) -> ValidationResult:
        """`means`: of the terms; `faulty`: samples whose logits are not finite."""
        loss = {"total": sum(means.values()), **means}
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        said = [f"terms: {', '.join(bad)}"] if bad else []
        said += [f"logits of {some(faulty, 3)}"] if faulty else []
        return cls(judge_validation(counted), loss, "; ".join(said) or None)

    def words(self, by: SelectBy) -> str:
        """For one line of progress."""
        return f"{SCORE_WORDS[by]} – (not finite)" if self.fault else self.judgment.words(by)

    def to_json(self, by: SelectBy) -> dict[str, Any]:
        """As a line of `metrics.jsonl` has it."""
        return {
            "dice": self.dice,
            **({"iou": self.iou, "select_by": by} if by == "miou" else {}),
            "measure": self.judgment.measure,
            "marked": self.judgment.marked,
            "loss": {name: value if math.isfinite(value) else None for name, value in self.loss.items()},
        }

    def is_better_than(self, other: ValidationResult, by: SelectBy) -> bool:
        """Whether the network is kept rather than another one of the same step; not where they are equally good."""
        if self.fault or self.judgment.measure == "nothing":
            return False
        rival = BestScore(other.dice, other.loss["total"], other.judgment.measure, other.iou)
        return other.fault is not None or is_better(self.judgment, self.loss["total"], rival, by)

    @property
    def dice(self) -> float | None:
        """None where the measure has none, or something is not finite."""
        return None if self.fault else self.judgment.dice

    @property
    def iou(self) -> float | None:
        """Likewise."""
        return None if self.fault else self.judgment.iou


@dataclass(frozen=True)
class ValidationJob:
    """What is validated, and how it is asked."""

    module: nn.Module
    """In eval mode meanwhile."""
    objective: Callable[[Any, Context], Mapping[str, Tensor]]
    logits: Callable[..., Tensor]
    """What `Stage.logits` names."""
    ctx: Context
    batch_size: int
    device: torch.device
    autocast: Callable[[], AbstractContextManager[None]]
    """Makes the context for the forward passes."""


@torch.no_grad()
def validate(
    job: ValidationJob,
    batches: Iterator[Batch],
    count: Callable[[Tensor, Tensor], list[CaseCounts]],
) -> ValidationResult:
    """One pass over batches on the job's device. `count` gives the pixels of the cases that are complete with a batch's logits
    and masks."""
    counted: list[CaseCounts] = []
    sums: dict[str, float] = defaultdict(float)
    samples, faulty = 0, list[str]()
    with evaluating(job.module):
        for batch in batches:
            with job.autocast():
                terms = job.objective(batch, job.ctx)
                output = job.logits(batch["image"])
            size = len(batch["sample_id"])
            for name, term in terms.items():
                sums[name] += float(term) * size
            samples += size
            faulty += not_finite_samples(output, batch["sample_id"])
            counted += count(output.float(), batch["mask"])
    return ValidationResult.of(counted, {name: total / max(1, samples) for name, total in sums.items()}, faulty)


@torch.no_grad()
def forward_seconds(job: ValidationJob, batch: Batch) -> float:
    """How long a validation takes for a batch, reckoned from the pass of its objective: another one gives the logits."""
    started = time.perf_counter()
    with evaluating(job.module), job.autocast():
        for term in job.objective(batch, job.ctx).values():
            float(term)  # waits for the device
    return 2 * (time.perf_counter() - started)


def not_finite_samples(logits: Tensor, names: list[str]) -> list[str]:
    """Names of the samples with a logit that is not finite. One more synchronization, in validation only."""
    finite = logits.isfinite().flatten(1).all(1).tolist()
    return [name for name, good in zip(names, finite, strict=True) if not good]


def count_cases(logits: Tensor, mask: Tensor, output: Output) -> list[CaseCounts]:
    """Pixels per case and foreground class, or region, of B×K×H×W logits against B×H×W classes (255 ignored)."""
    predicted = output.labels(logits)
    seen = mask != IGNORE
    sums = []
    for classes in output.structures:
        ours, theirs = is_one_of(predicted, classes) & seen, is_one_of(mask, classes)
        sums.append(torch.stack([part.sum((1, 2)) for part in (ours & theirs, ours, theirs, seen)]))
    table = torch.stack(sums).cpu().numpy()  # classes × (both, ours, theirs, valid) × cases
    return [CaseCounts(_labels(output), *table[:, :, case].T) for case in range(table.shape[2])]


class VolumeCounts:
    """Counts of slices, given in the cache's order → of the volumes that they complete."""

    def __init__(self, cache: Cache, count: Callable[[Tensor, Tensor], list[CaseCounts]]) -> None:
        """`count`: gives those of slices."""
        self._count = count
        self._depths = iter([len(list(slices)) for _, slices in groupby(cache.samples, lambda one: one.case.id)])
        self._slices: list[CaseCounts] = []
        self._depth = 0

    def __call__(self, logits: Tensor, mask: Tensor) -> list[CaseCounts]:
        """Of the volumes whose last slices are among these."""
        finished = []
        for one in self._count(logits, mask):
            self._depth = self._depth or next(self._depths)
            self._slices.append(one)
            if len(self._slices) == self._depth:
                finished.append(CaseCounts.together(self._slices))
                self._slices, self._depth = [], 0
        return finished


class TiledCounts:
    """`count_cases` of whole images, given batch by batch the logits of their tiles, in the order of `PatchLoader.once`."""

    def __init__(self, cache: Cache, tile: Size, output: Output) -> None:
        self._cache, self._tile, self._output = cache, tile, output
        self._case = -1
        self._next_case()

    def __call__(self, logits: Tensor, mask: Tensor) -> list[CaseCounts]:
        """Of the images that these tiles complete. `mask` is not used: the references are the cache's."""
        finished = []
        for tile in self._output.probabilities(logits).cpu().numpy():
            rows = self._blending.add(tile)
            if rows is None:
                continue
            self._count(rows)
            if self._row == len(self._reference):
                finished.append(self._finished())
                self._next_case()
        return finished

    def _next_case(self) -> None:
        self._case, self._row = self._case + 1, 0
        self._counts: Any = 0
        if self._case < len(self._cache):
            self._reference = self._cache.mask(self._case)
            height, width = self._reference.shape
            self._blending = TileBlender((height, width), self._tile)

    def _count(self, rows: NDArray[np.float32]) -> None:
        """Add what these rows have: pixels in both masks, in ours, in the reference, and not ignored, per foreground class."""
        reference = self._reference[self._row : self._row + rows.shape[1]]
        self._row += rows.shape[1]
        seen = reference != IGNORE
        predicted = self._output.class_map(rows, _ABOVE_HALF)
        predicted[~seen] = IGNORE
        ours, theirs = (
            np.stack([is_one_of(map_, classes) for classes in self._output.structures])
            for map_ in (predicted, reference)
        )
        valid = np.broadcast_to(seen, ours.shape)
        self._counts = self._counts + np.stack([part.sum((1, 2)) for part in (ours & theirs, ours, theirs, valid)])

    def _finished(self) -> CaseCounts:
        return CaseCounts(_labels(self._output), *self._counts)


def _labels(output: Output) -> tuple[int, ...]:
    return tuple(range(1, 1 + len(output.structures)))


class evaluating:  # noqa: N801 - reads as a statement
    """Context in which a module is in eval mode; its former mode returns afterwards."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.was_training = module, module.training

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.was_training)
