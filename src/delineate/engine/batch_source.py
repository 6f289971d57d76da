"""Sources of batches of single images: what a stage's `source` names; and what is done to batches of any kind."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean
from delineate.data.augment.settings import AugmentSettings
from delineate.data.cache.cache import Cache
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.soft_mask import NO_TARGETS, Targets
from delineate.data.loading.loader import NumpyBatch, Sampling
from delineate.data.loading.patch_loader import make_loader
from delineate.methods.contract import Batch

__all__ = ["BatchSource", "BatchSourceRequest", "divide", "make_batch_source", "to_device", "to_torch"]

_AnyBatch = TypeVar("_AnyBatch", bound=Batch)


class BatchSource(Protocol):
    """An endless, stateless stream: the batches of any range of steps can be had at any time."""

    steps_per_epoch: int

    def batches(self, start: int, stop: int) -> Generator[Batch]:
        """Batches of steps start … stop-1, on the CPU."""
        ...


@dataclass(frozen=True)
class BatchSourceRequest:
    """What a source may need to know."""

    cache: Cache
    spec: InputSpec
    augment: AugmentSettings
    batch_size: int
    seed: int
    workers: int
    foreground: float = 0.0
    """Of patches: the share that lies about a pixel of foreground."""
    labeled_share: float | None = None
    """Part of each batch that has masks, where some images have none; None: as they come."""
    patches_per_image: int | None = None
    """Patches of each image in an epoch; None: as many as have about all images' pixels."""
    targets: Targets = NO_TARGETS
    """What the method learns from beside masks."""
    sampling: Sampling = "uniform"
    """How labeled samples are drawn."""
    rank: int = 0
    world: int = 1


class _Supervised:
    """Shuffled, augmented training samples with their masks: whole images, or patches of them."""

    def __init__(self, request: BatchSourceRequest) -> None:
        self._loader = make_loader(
            request.cache,
            request.spec,
            request.augment,
            batch_size=request.batch_size,
            seed=request.seed,
            workers=request.workers,
            labeled_share=request.labeled_share,
            foreground=request.foreground,
            per_image=request.patches_per_image,
            sampling=request.sampling,
            targets=request.targets,
            rank=request.rank,
            world=request.world,
        )
        self.steps_per_epoch = self._loader.steps_per_epoch

    def batches(self, start: int, stop: int) -> Generator[Batch]:
        for batch in self._loader.batches(start, stop):
            yield to_torch(batch)


_BATCH_SOURCES: dict[str, Callable[[BatchSourceRequest], BatchSource]] = {"supervised": _Supervised}


def make_batch_source(name: str, request: BatchSourceRequest) -> BatchSource:
    """The source registered under `name`. Raises `RecipeError` for an unknown one."""
    if name not in _BATCH_SOURCES:
        raise RecipeError(f"unknown source of batches '{name}': {did_you_mean(name, _BATCH_SOURCES)}")
    return _BATCH_SOURCES[name](request)


def to_torch(batch: NumpyBatch) -> Batch:
    """Numpy batch (image B×H×W×C) → the contract's batch (image B×C×H×W, channels-last in memory)."""
    result: Batch = {
        "image": torch.from_numpy(batch.image).permute(0, 3, 1, 2),
        "mask": torch.from_numpy(batch.mask).long(),
        "labeled": torch.from_numpy(batch.labeled),
        "sample_id": list(batch.sample_id),
    }
    if batch.target is not None:
        result["target"] = torch.from_numpy(batch.target)
    if batch.unaugmented_target is not None:
        result["unaugmented_target"] = torch.from_numpy(batch.unaugmented_target)
    return result


def to_device(batch: _AnyBatch, device: torch.device) -> _AnyBatch:
    """The batch's tensors on `device`."""
    return _each(batch, lambda value: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value)


def divide(batch: _AnyBatch, parts: int) -> Iterator[_AnyBatch]:
    """The batch in so many parts, as equal as they can be, in order."""
    if parts == 1:
        yield batch
        return
    size = len(batch["sample_id"])
    edges = [size * index // parts for index in range(parts + 1)]
    for start, stop in pairwise(edges):
        yield _each(batch, itemgetter(slice(start, stop)))


def _each(batch: _AnyBatch, change: Callable[[Any], Any]) -> _AnyBatch:
    return cast(_AnyBatch, {name: change(value) for name, value in batch.items()})
