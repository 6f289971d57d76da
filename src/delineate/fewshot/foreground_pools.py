"""Pools of foregrounds, from which training episodes are drawn, with the slices that show each foreground.

A pool knows which slices can be the query and the support of a foreground. Drawing is a pure function of the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.manifest import IGNORE
from delineate.data.loading.cached_slices import CachedSlices
from delineate.fewshot.regions import Regions

__all__ = ["EpisodeIndices", "LabelPool", "Mask", "Pool", "SuperpixelPool", "SupervoxelPool"]

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class EpisodeIndices:
    """An episode before augmentation: slices by their number, and the foreground's number in its pool."""

    query: int
    support: tuple[int, ...]
    foreground: int


class Pool(Protocol):
    """Foregrounds of one kind."""

    anchors: int
    """Episodes in an epoch."""

    def pick(self, anchor: int, shots: int, rng: np.random.Generator) -> EpisodeIndices:
        """An episode about the anchor with that number."""
        ...

    def mask(self, index: int, foreground: int) -> Mask:
        """H×W of a slice: 1 = the foreground, 0 = all else, 255 = ignore."""
        ...

    def words(self, foreground: int) -> str:
        """The foreground for messages."""
        ...


class _Regions:
    """What pools of regions share. `least`: pixels in a slice, below which a region is not drawn."""

    def __init__(self, regions: Regions, least: int) -> None:
        self._regions, self._least = regions, least

    def mask(self, index: int, foreground: int) -> Mask:
        return (self._regions[index] == foreground).astype(np.uint8)

    def words(self, foreground: int) -> str:
        return f"region {foreground}"

    def _large(self, index: int) -> NDArray[np.intp]:
        counts = np.bincount(self._regions[index].ravel())
        counts[0] = 0
        return np.flatnonzero(counts >= self._least)


class SuperpixelPool(_Regions):
    """Episodes within a slice: support and query are the same picture, to be told apart by augmentation (Ouyang et al., ECCV
    2020). Anchors are the allowed slices that have a region."""

    def __init__(self, regions: Regions, allowed: Sequence[bool], *, least: int) -> None:
        """Raises `DataError` where no allowed slice has a region that is large enough."""
        super().__init__(regions, least)
        found = {index: ids for index in np.flatnonzero(allowed) if len(ids := self._large(int(index)))}
        if not found:
            raise DataError("no training slice has a super-pixel that is large enough; lower episodes.least")
        self._slices = list(found.items())
        self.anchors = len(self._slices)

    def pick(self, anchor: int, shots: int, rng: np.random.Generator) -> EpisodeIndices:
        index, ids = self._slices[anchor]
        return EpisodeIndices(int(index), (int(index),) * shots, int(rng.choice(ids)))


class SupervoxelPool(_Regions):
    """Episodes between neighboring slices: a region through both, seen in one and asked for in the other (ADNet, Medical Image
    Analysis 78, 2022). Anchors are the allowed slices that share a region with an allowed neighbor; further shots come from the
    next nearest slices with the region, and repeat them where there are too few."""

    def __init__(self, regions: Regions, data: CachedSlices, allowed: Sequence[bool], *, least: int) -> None:
        """Raises `DataError` where no two neighbors share a region that is large enough."""
        super().__init__(regions, least)
        self._volume = data.volume
        self._ids = [self._large(index) if allowed[index] else np.empty(0, np.intp) for index in range(len(data))]
        anchors = []
        for index in range(len(data)):
            shared = {near: ids for near in self._neighbors(index) if len(ids := self._shared(index, near))}
            if shared:
                anchors.append((index, shared))
        if not anchors:
            raise DataError(
                "no two neighboring training slices share a super-voxel that is large enough; lower episodes.least, or exclude "
                "fewer classes"
            )
        self._anchors = anchors
        self.anchors = len(anchors)

    def pick(self, anchor: int, shots: int, rng: np.random.Generator) -> EpisodeIndices:
        index, shared = self._anchors[anchor]
        near = list(shared)[int(rng.integers(len(shared)))]
        region = int(rng.choice(shared[near]))
        return EpisodeIndices(index, (near, *self._further(index, near, region, shots - 1)), region)

    def _neighbors(self, index: int) -> list[int]:
        """The slices before and after in the same volume."""
        around = (index - 1, index + 1)
        return [at for at in around if 0 <= at < len(self._volume) and self._volume[at] == self._volume[index]]

    def _shared(self, one: int, other: int) -> NDArray[np.intp]:
        return np.intersect1d(self._ids[one], self._ids[other])

    def _further(self, index: int, near: int, region: int, number: int) -> list[int]:
        if not number:
            return []
        (members,) = np.nonzero(self._volume == self._volume[index])
        others = [int(at) for at in members if at not in (index, near) and region in self._ids[at]]
        ordered = sorted(others, key=lambda at: (abs(at - index), at)) or [near]
        return [ordered[at % len(ordered)] for at in range(number)]


class LabelPool:
    """Episodes of the training classes, all equally often; the query is of another patient than the support where there is one,
    else of another volume, else another slice. Anchors are the allowed slices that hold a class."""

    def __init__(
        self, data: CachedSlices, allowed: Sequence[bool], labels: Sequence[int], names: Sequence[str], *, least: int
    ) -> None:
        """`labels`: to learn from; `least`: pixels at the working size. Raises `DataError` where no class is in two slices."""
        self._data, self._names = data, names
        permitted = np.asarray(allowed, np.bool_)
        holding = {label: np.flatnonzero(permitted & (data.pixels[:, label] >= least)) for label in labels}
        self._holding = {label: slices for label, slices in holding.items() if len(slices) > 1}
        if not self._holding:
            raise DataError(
                "no class is in two of the training slices, so there are no episodes of labels; take --episodes superpixel, lower "
                "episodes.least_labeled, or exclude fewer classes"
            )
        self._labels = list(self._holding)
        self.anchors = len(np.unique(np.concatenate(list(self._holding.values()))))

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that episodes are drawn of."""
        return tuple(self._labels)

    def pick(self, anchor: int, shots: int, rng: np.random.Generator) -> EpisodeIndices:
        label = self._labels[int(rng.integers(len(self._labels)))]
        holding = self._holding[label]
        query = int(rng.choice(holding))
        others = self._others(query, holding)
        return EpisodeIndices(query, tuple(map(int, rng.choice(others, shots, replace=len(others) < shots))), label)

    def mask(self, index: int, foreground: int) -> Mask:
        mask = self._data.masks[index]
        return np.where(mask == IGNORE, np.uint8(IGNORE), (mask == foreground).astype(np.uint8))

    def words(self, foreground: int) -> str:
        return self._names[foreground]

    def _others(self, query: int, holding: NDArray[np.intp]) -> NDArray[np.intp]:
        for belonging in (self._data.group, self._data.volume):
            others = holding[belonging[holding] != belonging[query]]
            if len(others):
                return others
        return holding[holding != query]
