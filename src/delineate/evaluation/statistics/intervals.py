"""A mean with its confidence interval, made for the shape of the data: groups, classes, few cases."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delineate.evaluation.statistics import bootstrap
from delineate.evaluation.statistics.bootstrap import Clusters

FEWEST = 6
"""Below so many groups there is no interval."""
MANY = 20
"""From so many groups on BCa, below bootstrap-t."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies; ends are None where no interval can be given, the mean too where nothing was counted."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    """Cases with a value."""
    groups: int
    """Groups with a value; as many as cases when each is its own."""
    how: str
    """How the interval was made, or why there is none."""


def mean_interval(
    values: ArrayLike,
    groups: Sequence[Hashable] | NDArray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """The mean of `values` with a cluster bootstrap interval over `groups`.

    `values`: (n,), or (n, classes) for the macro mean (the mean over classes of each class's mean); NaN = not counted.
    `groups`: (n,) names of what was drawn independently, such as patients; None = each case by itself. `bounds`: the range
    of the score, at which the ends are cut off. The same arguments give the same interval.

    BCa from 20 groups on, bootstrap-t from 6 to 19, none below 6. With several classes the class that is in the fewest groups
    decides. Raises `ValueError` for infinite values and for shapes or settings that make no sense.
    """
    if not 0 < level < 1 or resamples < 100:
        raise ValueError(f"level {level} must be between 0 and 1, resamples {resamples} at least 100")
    clusters = bootstrap.cluster(values, groups)
    if not clusters.n:
        return Interval(None, None, None, 0, 0, "no interval: no values")
    low, high, how = _ends(clusters, "cases" if groups is None else "groups", level, resamples, seed, bounds)
    return Interval(bootstrap.estimate(clusters), low, high, clusters.n, clusters.groups, how)


def _ends(
    clusters: Clusters,
    unit: str,
    level: float,
    resamples: int,
    seed: int,
    bounds: tuple[float, float],
) -> tuple[float | None, float | None, str]:
    """Both ends and how they came about."""
    count, scarcest = clusters.groups, clusters.scarcest
    if count < FEWEST:
        return None, None, f"no interval: fewer than {FEWEST} {unit}"
    if scarcest < FEWEST:
        return None, None, f"no interval: a class is in fewer than {FEWEST} {unit}"
    if bootstrap.standard_error(clusters) == 0:
        point = bootstrap.estimate(clusters)
        return point, point, f"a point: no spread over {count} {unit}"
    rng = np.random.Generator(np.random.SFC64(seed))
    method = bootstrap.bca if scarcest >= MANY else bootstrap.studentised
    low, high = np.clip(method(clusters, level, resamples, rng), *bounds)
    if not np.isfinite([low, high]).all():
        return None, None, f"no interval: too many equal values for {count} {unit}"
    name = "BCa bootstrap" if scarcest >= MANY else "bootstrap-t"
    few = f", a class in {scarcest} of them" if scarcest < count else ""
    return float(low), float(high), f"{name} over {count} {unit}{few}"
