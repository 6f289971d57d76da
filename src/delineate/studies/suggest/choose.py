"""Which candidates are chosen, by their doubt and their place among the features: plain arrays, no images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Candidates", "ChoiceRule", "Pick", "choose"]

ChoiceRule = Literal["doubt", "coverage", "both", "random"]
"""doubt: the highest doubt first. coverage: greedy k-center (the core-set of Sener & Savarese, ICLR 2018): the candidate farthest
from all that is labeled or chosen. both: k-means++ seeding, drawn in proportion to doubt times squared distance (as BADGE, Ash et
al., ICLR 2020, but on features and entropy instead of gradients). random: drawn, all alike."""


@dataclass(frozen=True)
class Candidates:
    """N images that may be chosen, and M that are labeled."""

    doubt: NDArray[np.float64]
    """N values ≥ 0."""
    features: NDArray[np.float64]
    """N×D."""
    covered: NDArray[np.float64]
    """M×D: features of the labeled images."""
    groups: Sequence[str | None]
    """Patient of each candidate; None: it is one by itself."""
    twins: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Candidate → its near duplicates, which are not chosen too."""


@dataclass(frozen=True)
class Pick:
    """One candidate that was chosen."""

    index: int
    distance: float | None
    """To the nearest image that was labeled or chosen before; None for a first one."""


def choose(
    candidates: Candidates, count: int, by: ChoiceRule, per_group: int | None, seed: int
) -> tuple[list[Pick], int]:
    """Choose candidates one after another.

    `per_group`: at most so many of a group; None: as few as suffice. Returns the picks in order, fewer than `count` where no more
    may be chosen, and the number per group that was allowed. The same arguments give the same picks; of equals the first is taken.
    """
    rng = np.random.default_rng(seed)
    free = _Free(candidates, per_group)
    nearest = _nearest(candidates)
    picks: list[Pick] = []
    while len(picks) < count and free.any():
        index = _next(candidates, np.flatnonzero(free.open), nearest, by, rng)
        picks.append(Pick(index, None if nearest is None else float(nearest[index])))
        free.take(index)
        away = np.linalg.norm(candidates.features - candidates.features[index], axis=1)
        nearest = away if nearest is None else np.minimum(nearest, away)
    return picks, free.limit


def _next(
    candidates: Candidates,
    open_: NDArray[np.intp],
    nearest: NDArray[np.float64] | None,
    by: ChoiceRule,
    rng: np.random.Generator,
) -> int:
    """One of the candidates `open_`."""
    if by == "random":
        return int(rng.choice(open_))
    if by == "doubt":
        return int(open_[np.argmax(candidates.doubt[open_])])
    if by == "coverage":
        if nearest is None:  # the most typical one
            center = candidates.features.mean(0)
            return int(open_[np.argmin(np.linalg.norm(candidates.features[open_] - center, axis=1))])
        return int(open_[np.argmax(nearest[open_])])
    weights = candidates.doubt[open_] * (1 if nearest is None else nearest[open_] ** 2)
    total = weights.sum()
    return int(rng.choice(open_, p=weights / total if total > 0 else None))


def _nearest(candidates: Candidates) -> NDArray[np.float64] | None:
    """Distance of each candidate to the nearest labeled image; None where there is none. Holds N×D numbers at a time."""
    result: NDArray[np.float64] | None = None
    for center in candidates.covered:
        away = np.linalg.norm(candidates.features - center, axis=1)
        result = away if result is None else np.minimum(result, away)
    return result


class _Free:
    """Which candidates may still be chosen."""

    def __init__(self, candidates: Candidates, per_group: int | None) -> None:
        self._candidates, self._fixed = candidates, per_group is not None
        self.limit = per_group or 1
        self._barred = np.zeros(len(candidates.doubt), bool)
        """Chosen, or like one that is."""
        self._taken: dict[str, int] = {}
        self.open = np.ones(len(candidates.doubt), bool)

    def any(self) -> bool:
        """Whether there is one; raises the limit per group where it may."""
        while not self.open.any():
            if self._fixed or self._barred.all():
                return False
            self.limit += 1
            self._update()
        return True

    def take(self, index: int) -> None:
        self._barred[[index, *self._candidates.twins.get(index, ())]] = True
        group = self._candidates.groups[index]
        if group is not None:
            self._taken[group] = self._taken.get(group, 0) + 1
        self._update()

    def _update(self) -> None:
        full = [group is not None and self._taken.get(group, 0) >= self.limit for group in self._candidates.groups]
        self.open = ~self._barred & ~np.array(full)
