"""Batches from the cache. The stream is a pure function of (seed, position), so that exact resume needs a step number only.

The stream is an endless row of epochs, each a permutation drawn from (seed, epoch); the augmentation at position p is drawn from
(seed, p). Step s takes positions s·B … (s+1)·B − 1, of which each process has its contiguous share. With class-balanced sampling
the stream is an endless row of permutations of the classes, and each class one of permutations of the samples that show it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.augment import apply as transform
from delineate.data.augment import settings as augment
from delineate.data.augment.settings import AugmentParameters, AugmentSettings
from delineate.data.cache.cache import Cache
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import IGNORE
from delineate.data.core.opencv_threads import single_threaded_opencv
from delineate.data.core.soft_mask import NO_TARGETS, Targets, as_target, foreground_share
from delineate.data.loading.class_samples import samples_by_class
from delineate.data.loading.label_mixing import Mixture

__all__ = ["Item", "Loader", "NumpyBatch", "Sampling"]

_AUGMENTATION = 1
"""Separates the random streams of augmentation from those of permutations (0), patches (2), mixtures (3, 4) and classes (5 …)."""
_CLASSES, _OF_CLASS = 5, 6
"""Streams of the order of classes, and of the samples of class 0; the others' follow."""

Sampling = Literal["uniform", "class_balanced"]
"""How labeled samples are drawn: each as often as any other, or so that each class is drawn as often as any other."""


@dataclass(frozen=True)
class NumpyBatch:
    """B samples. `image` is contiguous B×H×W×C, so that a permuted tensor of it is channels-last."""

    image: NDArray[np.float32]
    """In [0, 1]."""
    mask: NDArray[np.uint8]
    """B×H×W class indices; 255 = ignore."""
    labeled: NDArray[np.bool_]
    sample_id: list[str]
    target: NDArray[np.float32] | None = None
    """B×H×W soft masks in [0, 1], 255 = ignore; where the loader's `targets` ask for them."""
    unaugmented_target: NDArray[np.float32] | None = None
    """The same before augmentation; without `targets.soft` that of the mask, 0 or 1."""


class Item(NamedTuple):
    """What a place of a batch is filled with."""

    sample: int
    """Index in the cache."""
    position: int | None = None
    """In the stream; None: not augmented."""
    corner: tuple[int, int] = (0, 0)
    """Of the patch that is shown, where patches are shown and there is no position to draw it from."""
    label: int | None = None
    """The class that it was drawn for, 0 = the background; None: for none."""


class Loader:
    """Augmented batches in a reproducible order, prepared ahead by threads.

    `batch_size` counts the samples of all processes together; `settings` None means no augmentation. Any range of steps can be
    asked for at any time: nothing is remembered between calls.
    """

    def __init__(
        self,
        cache: Cache,
        spec: InputSpec,
        settings: AugmentSettings | None,
        *,
        batch_size: int,
        seed: int,
        workers: int = 2,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        labeled_share: float | None = None,
        targets: Targets = NO_TARGETS,
        sampling: Sampling = "uniform",
    ) -> None:
        """`labeled_share`: part of each batch, of all processes together, that has masks (rounded up, at least one sample); the
        labeled and the unlabeled samples are then two rows of epochs of their own. None: as they come. `targets`: what batches
        have beside masks; for soft ones the cache has shares (`with_shares`). `sampling`: of the labeled samples; those without
        masks come as they would."""
        if batch_size < 1 or batch_size % world:
            raise DataError(
                f"a batch of {batch_size} cannot be shared by {world} processes; choose a multiple of {world}"
            )
        if targets.soft and cache.shares is None:
            raise ValueError("soft targets need a cache with shares")
        self._cache = cache
        self._targets = targets
        self._spec = spec
        self._settings = None if settings is None or settings.is_identity else settings
        self._batch_size = batch_size
        self._seed = seed
        self._workers = max(1, workers)
        self._share = range(rank * batch_size // world, (rank + 1) * batch_size // world)
        self._shuffle = shuffle
        self._per_epoch = len(cache)
        self._permutations: dict[int, tuple[int, NDArray[np.intp]]] = {}
        self._mixture = None if labeled_share is None else Mixture.of(cache, batch_size, labeled_share)
        self._by_class = samples_by_class(cache) if sampling == "class_balanced" else None

    @property
    def steps_per_epoch(self) -> int:
        """Steps that show as many samples as there are, without a mixture each of them."""
        return -(-self._per_epoch // self._batch_size)

    def batches(self, start: int, stop: int) -> Generator[NumpyBatch]:
        """This process's share of steps start … stop − 1, in order. Close the generator to end it early."""
        steps = ([self._at(step * self._batch_size + place) for place in self._share] for step in range(start, stop))
        return self._stream(steps)

    def __len__(self) -> int:
        """How many samples `once` shows."""
        return len(self._plain())

    def once(self) -> Generator[NumpyBatch]:
        """All samples once, in the cache's order, without augmentation; the last batch may be smaller."""
        size, items = self._batch_size, self._plain()
        return self._stream(items[first : first + size] for first in range(0, len(items), size))

    def parameters(self, position: int) -> AugmentParameters | None:
        """The augmentation of the stream's sample at `position`, for logs and replays; None when there is none."""
        if self._settings is None:
            return None
        rng = np.random.default_rng([self._seed, _AUGMENTATION, position])
        zoom = (1.0, 1.0)
        if self._settings.in_file_pixels:
            sample = self._cache.samples[self.index(position)]
            zoom = self._spec.zoom(*sample.size, sample.spacing)
        return augment.sample(self._settings, rng, *self._spec.size, colors=self._spec.colored, zoom=zoom)

    def index(self, position: int) -> int:
        """The cache index of the stream's sample at `position`."""
        return self._at(position).sample

    def _at(self, position: int) -> Item:
        if self._mixture is None:
            number, sample = position, self._drawn(0, position, self._per_epoch) % len(self._cache)
        else:
            kind, number = self._mixture.locate(position)
            members = self._mixture.members[kind]
            per_image = self._per_epoch // len(self._cache)
            sample = members[self._drawn(kind.value, number, len(members) * per_image) % len(members)]
        if self._by_class is None or not self._cache.labeled(sample):
            return Item(sample, position)
        which = self._drawn(_CLASSES, number, len(self._by_class))
        label, members = self._by_class[which]
        nth = self._drawn(_OF_CLASS + label, number // len(self._by_class), len(members))
        return Item(members[nth], position, label=label)

    def _drawn(self, stream: int, position: int, per_epoch: int) -> int:
        """What stands at a position of an endless row of permutations, which is drawn from (seed, stream, epoch)."""
        epoch, place = divmod(position, per_epoch)
        if not self._shuffle:
            return place
        known = self._permutations.get(stream)
        if known is None or known[0] != epoch:
            known = epoch, np.random.default_rng([self._seed, stream, epoch]).permutation(per_epoch)
            self._permutations[stream] = known
        return int(known[1][place])

    def _plain(self) -> list[Item]:
        """What `once` shows."""
        return [Item(index) for index in range(len(self._cache))]

    def _stream(self, steps: Iterable[list[Item]]) -> Generator[NumpyBatch]:
        """Prepare batches in threads, at most `workers` + 1 ahead of the consumer; yield them in order."""
        waiting: deque[tuple[NumpyBatch, list[Future[None]]]] = deque()
        with single_threaded_opencv(), ThreadPoolExecutor(self._workers, thread_name_prefix="loader") as pool:
            try:
                for items in steps:
                    waiting.append(self._start(pool.submit, items))
                    if len(waiting) > self._workers:
                        yield _finished(waiting.popleft())
                while waiting:
                    yield _finished(waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _start(self, submit: Callable[..., Future[None]], items: list[Item]) -> tuple[NumpyBatch, list[Future[None]]]:
        """Each worker fills its slice of the batch."""
        count, wanted = len(items), self._targets
        further = [
            np.empty((count, *self._spec.size), np.float32) if one else None
            for one in (wanted.soft, wanted.unaugmented)
        ]
        batch = NumpyBatch(
            np.empty((count, *self._spec.size, self._spec.in_channels), np.float32),
            np.empty((count, *self._spec.size), np.uint8),
            np.array([self._cache.labeled(item.sample) for item in items]),
            [self._cache.samples[item.sample].name for item in items],
            *further,
        )
        parts = [range(part, count, self._workers) for part in range(min(self._workers, count))]
        return batch, [submit(self._fill, batch, items, part) for part in parts]

    def _fill(self, batch: NumpyBatch, items: list[Item], places: Iterable[int]) -> None:
        for place in places:
            try:
                self._fill_sample(items[place], batch.image[place], batch.mask[place])
                self._fill_targets(items[place], batch, place)
            except Exception as error:
                sample = self._cache.samples[items[place].sample]
                raise DataError(
                    f"sample {sample.name} ({', '.join(sample.case.images)}): {type(error).__name__}: {error}"
                ) from error

    def _fill_sample(self, item: Item, image: NDArray[np.float32], mask: NDArray[np.uint8]) -> None:
        """Write one sample into its place of the batch."""
        pixels, labels = self._cache.image(item.sample), self._cache.mask(item.sample)
        parameters = None if item.position is None else self.parameters(item.position)
        if parameters is None:
            image[:], mask[:] = self._spec.to_unit(pixels), labels
            return
        if pixels.dtype == np.uint8 and self._spec.intensity == "range":
            # Augmenting bytes and scaling afterwards is the same picture for a quarter of the memory traffic.
            augmented, labels = transform.apply(pixels, labels, parameters)
            np.divide(augmented, np.float32(255), out=image, dtype=np.float32)
        else:
            image[:], labels = transform.apply(self._spec.to_unit(pixels), labels, parameters)
        mask[:] = labels if self._cache.labeled(item.sample) else IGNORE

    def _fill_targets(self, item: Item, batch: NumpyBatch, place: int) -> None:
        """Write what the batch has beside image and mask, which are there already."""
        if batch.target is None and batch.unaugmented_target is None:
            return
        mask = self._cache.mask(item.sample)
        share = foreground_share(mask) if self._cache.shares is None else self._cache.shares[item.sample]
        if batch.unaugmented_target is not None:
            batch.unaugmented_target[place] = as_target(share, mask)
        if batch.target is not None:
            parameters = None if item.position is None else self.parameters(item.position)
            moved = share if parameters is None else transform.apply_to_share(share, mask, parameters)
            batch.target[place] = as_target(moved, batch.mask[place])


def _finished(started: tuple[NumpyBatch, list[Future[None]]]) -> NumpyBatch:
    batch, parts = started
    for part in parts:
        part.result()
    return batch
