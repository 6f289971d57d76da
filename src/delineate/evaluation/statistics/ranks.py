"""Several models over the same cases: who comes first, and how often would it be another with other cases?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delineate.evaluation.statistics import bootstrap
from delineate.evaluation.statistics.intervals import FEWEST
from delineate.evaluation.statistics.paired import Better
from delineate.evaluation.statistics.ties import average_ranks, tidy

__all__ = ["Floats", "Ranks", "rank_models"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """A table of models, in the order they were given."""

    names: tuple[str, ...]
    n: int
    """Cases for which every model has a score."""
    groups: int
    dropped: int
    """Cases left out, because a model has no score."""
    mean: Floats
    """(models,) mean score."""
    mean_rank: Floats
    """(models,) mean over cases of the rank in the case, 1 = best, ties share the average rank."""
    rank: Floats
    """(models,) rank of the mean score."""
    frequencies: Floats | None
    """models×models: how often model i is ranked j + 1 by its mean in resamples of the groups; rows and columns add up
    to 1, tied models share their places. None below 6 groups."""

    def best(self) -> str:
        """The model of the best mean (the first named of several)."""
        return self.names[int(np.argmin(self.rank))]


def rank_models(
    scores: Mapping[str, ArrayLike],
    groups: Sequence[Hashable] | NDArray | None = None,
    *,
    better: Better = "higher",
    resamples: int = 10_000,
    seed: int = 0,
) -> Ranks:
    """Rank models by scores (n,) each, over the same cases; `groups` as in `mean_interval`.

    Raises `ValueError` for fewer than two models, vectors of different length, or no case that all have a score for.
    """
    columns = [np.asarray(column, dtype=np.float64) for column in scores.values()]
    if len(columns) < 2 or len({column.shape for column in columns}) > 1:
        raise ValueError("two or more models with scores of the same cases are ranked")
    table = np.stack(columns, axis=1)
    whole = np.isfinite(table).all(1)
    if not whole.any():
        raise ValueError("there is no case for which every model has a score")
    codes = bootstrap.group_codes(len(table), groups)[whole]
    signed = tidy(table[whole]) * (-1 if better == "higher" else 1)
    clusters = bootstrap.cluster(signed, codes)
    means = signed.mean(0)
    return Ranks(
        names=tuple(scores),
        n=clusters.n,
        groups=clusters.groups,
        dropped=int((~whole).sum()),
        mean=table[whole].mean(0),
        mean_rank=average_ranks(signed).mean(0),
        rank=average_ranks(tidy(means)),
        frequencies=_frequencies(clusters, resamples, seed) if clusters.groups >= FEWEST else None,
    )


def _frequencies(clusters: bootstrap.Clusters, resamples: int, seed: int) -> Floats:
    """Row i, column j: share of the resamples in which model i takes place j."""
    rng = np.random.Generator(np.random.SFC64(seed))
    models = clusters.sums.shape[1]
    taken = np.zeros((models, models))
    for drawn in bootstrap.weights(clusters.groups, resamples, rng):
        means = tidy(drawn @ clusters.sums / (drawn @ clusters.counts))
        first = (means[:, :, None] > means[:, None, :]).sum(2)
        sharing = (means[:, :, None] == means[:, None, :]).sum(2)
        for place in range(models):
            taken[:, place] += (((first <= place) & (place < first + sharing)) / sharing).sum(0)
    return taken / resamples
