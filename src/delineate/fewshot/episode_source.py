"""Batches of episodes. The stream is a pure function of (seed, position), so that exact resume needs a step number only.

As in `data.loading.loader`: an endless row of epochs, each a permutation of the pool's anchors drawn from (seed, epoch); all
else about the episode at position p is drawn from (seed, p). Step s takes positions s·B … (s+1)·B − 1, of which each process has
its share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.common.errors import DataError
from delineate.data.augment import apply as transform
from delineate.data.augment import settings as augment
from delineate.data.augment.settings import AugmentParameters, AugmentSettings
from delineate.data.core.opencv_threads import single_threaded_opencv
from delineate.data.loading.cached_slices import CachedSlices
from delineate.fewshot.foreground_pools import EpisodeIndices, Mask, Pool
from delineate.methods.episodic import EpisodicBatch

__all__ = ["EpisodeArrays", "EpisodeSource", "MaskedImage", "Unit", "as_batch"]

_EPISODE = 2
"""Separates the random streams of episodes from those of the permutations."""
_TRIES = 5
"""Augmentations that push the foreground out of the picture are drawn anew so often; then there is none."""
_KEPT = 0.25
"""Share of the foreground's pixels that must stay in the picture."""

Unit = NDArray[np.float32]


class MaskedImage(NamedTuple):
    """One picture of an episode: image H×W×C in [0, 1] and mask H×W (1, 0, 255)."""

    image: Unit
    mask: Mask


@dataclass(frozen=True)
class EpisodeArrays:
    """An episode as arrays."""

    query: MaskedImage
    support: tuple[MaskedImage, ...]
    name: str


class EpisodeSource:
    """Endless augmented episodes (an `engine.batch_source.Source`). `batch_size` counts those of all processes together."""

    def __init__(
        self,
        data: CachedSlices,
        pool: Pool,
        settings: AugmentSettings,
        *,
        shots: int,
        sides: Literal["one", "both"],
        batch_size: int,
        seed: int,
        workers: int = 2,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._data, self._pool = data, pool
        self._settings = None if settings.is_identity else settings
        self._shots, self._sides = shots, sides
        self._batch_size, self._seed, self._workers = batch_size, seed, max(1, workers)
        self._share = range(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.steps_per_epoch = -(-pool.anchors // batch_size)

    def batches(self, start: int, stop: int) -> Generator[EpisodicBatch]:
        """This process's share of steps start … stop − 1, in order, prepared ahead by threads."""
        waiting: deque[Future[EpisodicBatch]] = deque()
        with single_threaded_opencv(), ThreadPoolExecutor(self._workers, thread_name_prefix="episodes") as threads:
            try:
                for step in range(start, stop):
                    waiting.append(threads.submit(self._batch, step))
                    if len(waiting) > self._workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                threads.shutdown(cancel_futures=True)

    def pick(self, position: int) -> EpisodeIndices:
        """The episode at a position of the stream, before augmentation."""
        return self._drawn(position)[0]

    def episode(self, position: int) -> EpisodeArrays:
        """The episode at a position of the stream. Support and query are augmented as `sides` says; of several shots, all but the
        first are in any case, so that they differ."""
        pick, rng = self._drawn(position)
        for attempt in range(_TRIES + 1):
            shown = (pick.query, *pick.support)
            parameters = self._parameters(rng, shown, plain=attempt == _TRIES)
            query, *support = (
                self._view(index, pick.foreground, one) for index, one in zip(shown, parameters, strict=True)
            )
            if all(view is not None for view in (query, *support)):
                name = f"{self._data.slices[pick.query].name} ({self._pool.words(pick.foreground)})"
                return EpisodeArrays(query, tuple(support), name)  # type: ignore[arg-type]
        raise AssertionError("an episode that is not augmented keeps its foreground")

    def _drawn(self, position: int) -> tuple[EpisodeIndices, np.random.Generator]:
        """The episode, and the generator that its augmentation goes on with."""
        epoch, place = divmod(position, self._pool.anchors)
        anchor = int(np.random.default_rng([self._seed, 0, epoch]).permutation(self._pool.anchors)[place])
        rng = np.random.default_rng([self._seed, _EPISODE, position])
        return self._pool.pick(anchor, self._shots, rng), rng

    def _parameters(
        self, rng: np.random.Generator, shown: Sequence[int], *, plain: bool
    ) -> list[AugmentParameters | None]:
        """Of the slices of the query, then of each support image."""
        if self._settings is None or plain:
            return [None] * (1 + self._shots)
        of_query = bool(rng.integers(2))
        both = self._sides == "both"
        wanted = [both or of_query, both or not of_query, *[True] * (self._shots - 1)]
        spec = self._data.spec
        parameters: list[AugmentParameters | None] = []
        for index, one in zip(shown, wanted, strict=True):
            zoom = spec.zoom(*self._data.slices[index].size) if self._settings.in_file_pixels else (1.0, 1.0)
            drawn = augment.sample(self._settings, rng, *spec.size, colors=spec.colored, zoom=zoom) if one else None
            parameters.append(drawn)
        return parameters

    def _view(self, index: int, foreground: int, parameters: AugmentParameters | None) -> MaskedImage | None:
        """None when too little of the foreground stays in the picture."""
        mask = self._pool.mask(index, foreground)
        if parameters is None:
            return MaskedImage(self._data.unit(index), mask)
        before = np.count_nonzero(mask == 1)
        pixels, spec = self._data.images[index], self._data.spec
        if pixels.dtype == np.uint8 and spec.intensity == "range":
            # Augmenting bytes and scaling afterwards is the same picture for a quarter of the memory traffic.
            augmented, mask = transform.apply(pixels, mask, parameters)
            image = spec.to_unit(augmented)
        else:
            image, mask = transform.apply(spec.to_unit(pixels), mask, parameters)
        return MaskedImage(image, mask) if np.count_nonzero(mask == 1) > _KEPT * before else None

    def _batch(self, step: int) -> EpisodicBatch:
        positions = [step * self._batch_size + place for place in self._share]
        return as_batch([self._named(position) for position in positions])

    def _named(self, position: int) -> EpisodeArrays:
        try:
            return self.episode(position)
        except Exception as error:
            name = self._data.slices[self.pick(position).query].name
            raise DataError(f"the episode about {name}: {type(error).__name__}: {error}") from error


def as_batch(episodes: Sequence[EpisodeArrays]) -> EpisodicBatch:
    """Episodes with equal numbers of shots → the contract's batch, on the CPU, images channels-last in memory."""
    return {
        "image": _images([one.query.image for one in episodes]),
        "mask": _masks([one.query.mask for one in episodes]),
        "labeled": torch.ones(len(episodes), dtype=torch.bool),
        "sample_id": [one.name for one in episodes],
        "support_image": _images([[view.image for view in one.support] for one in episodes]),
        "support_mask": _masks([[view.mask for view in one.support] for one in episodes]),
    }


def _images(images: Any) -> Tensor:
    """(…)×H×W×C → (…)×C×H×W."""
    return torch.from_numpy(np.array(images, np.float32)).movedim(-1, -3)


def _masks(masks: Any) -> Tensor:
    return torch.from_numpy(np.array(masks, np.uint8)).long()
