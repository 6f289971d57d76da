"""A mean with its confidence interval, made for the shape of the data: groups, classes, few cases."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delineate.evaluation.statistics import bootstrap
from delineate.evaluation.statistics.bootstrap import Clusters
from delineate.evaluation.statistics.misses import split_off_misses, unseen

__all__ = [
    "FEWEST",
    "MANY",
    "Interval",
    "mean_interval",
]

FEWEST = 6
"""Below so many groups there is no interval."""
MANY = 20
"""From so many groups on BCa, below bootstrap-t."""
_OVERLAP = (0.0, 1.0)
"""The range of scores of which 0 is a miss."""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval. The ends are None where no interval can be given; the mean is None without values."""

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
    """The mean of scores with a confidence interval, by a cluster bootstrap over groups.

    The number of groups decides the method: BCa from 20 groups, bootstrap-t from 6 to 19, no interval below 6. With several
    classes, the class that is in the fewest groups decides. Scores from 0 to 1 are taken as overlap, where 0 is a miss: their
    interval is made wide enough for misses that are rare and not in the sample (`misses`). Where all values are equal, there is
    an interval only if `bounds` are finite. The same arguments give the same interval.

    Args:
        values: Scores of n cases, shape (n,), or (n, classes) for the mean over classes of each class's mean. NaN: not counted.
        groups: Shape (n,): the name of what was drawn independently, such as the patient. None: each case is its own group.
        level: Confidence level, between 0 and 1.
        resamples: Number of bootstrap resamples, at least 100.
        seed: Seed of the resampling.
        bounds: Lowest and highest possible score; the ends of the interval are cut off there.

    Returns:
        Mean, ends of the interval (None where there is none), numbers of cases and groups, and how the interval was made.

    Raises:
        ValueError: Infinite values, or shapes and settings that make no sense.

    Example:
        >>> from delineate.evaluation.statistics.intervals import mean_interval
        >>> dice = [0.9, 0.8, 0.7, 0.95, 0.85, 0.6, 0.75, 0.9]
        >>> interval = mean_interval(dice, bounds=(0, 1))
        >>> print(f"{interval.mean:.3f} ({interval.low:.2f} to {interval.high:.2f}), {interval.how}")
        0.806 (0.52 to 0.89), bootstrap-t over 8 cases
    """
    if not 0 < level < 1 or resamples < 100:
        raise ValueError(f"level {level} must be between 0 and 1, resamples {resamples} at least 100")
    clusters = bootstrap.cluster(values, groups)
    if not clusters.n:
        return Interval(None, None, None, 0, 0, "no interval: no values")
    unit = "cases" if groups is None else "groups"
    low, high, how = _ends(values, groups, clusters, _Wanted(unit, level, resamples, seed, bounds))
    return Interval(bootstrap.estimate(clusters), low, high, clusters.n, clusters.groups, how)


@dataclass(frozen=True)
class _Wanted:
    unit: str
    level: float
    resamples: int
    seed: int
    bounds: tuple[float, float]


def _ends(
    values: ArrayLike, groups: Sequence[Hashable] | NDArray | None, clusters: Clusters, wanted: _Wanted
) -> tuple[float | None, float | None, str]:
    """Both ends and how they came about."""
    count, scarcest, unit = clusters.groups, clusters.scarcest, wanted.unit
    if count < FEWEST:
        return None, None, f"no interval: fewer than {FEWEST} {unit}"
    if scarcest < FEWEST:
        return None, None, f"no interval: a class is in fewer than {FEWEST} {unit}"
    point = bootstrap.estimate(clusters)
    if bootstrap.standard_error(clusters) == 0:
        return _without_spread(point, scarcest, wanted)
    if wanted.bounds == _OVERLAP:
        low, high, how = _with_misses(values, groups, point, wanted)
    else:
        low, high, how = _resampled(clusters, wanted)
    low, high = np.clip((low, high), *wanted.bounds)
    if not np.isfinite([low, high]).all():
        return None, None, f"no interval: too many equal values for {count} {unit}"
    few = f", a class in {scarcest} of them" if scarcest < count else ""
    return float(low), float(high), f"{how} over {count} {unit}{few}"


def _resampled(clusters: Clusters, wanted: _Wanted) -> tuple[float, float, str]:
    rng = np.random.Generator(np.random.SFC64(wanted.seed))
    many = clusters.scarcest >= MANY
    method = bootstrap.bca if many else bootstrap.studentized
    return *method(clusters, wanted.level, wanted.resamples, rng), "BCa bootstrap" if many else "bootstrap-t"


def _with_misses(
    values: ArrayLike, groups: Sequence[Hashable] | NDArray | None, point: float, wanted: _Wanted
) -> tuple[float, float, str]:
    """The interval of the scores without their misses, and that of the misses' share, put together."""
    table = np.asarray(values, np.float64).reshape(len(np.asarray(values)), -1)
    table = table[:, ~np.isnan(table).all(0)]
    parts = split_off_misses(table, bootstrap.group_codes(len(table), groups), wanted.level)
    clusters = bootstrap.cluster(parts.filled, groups)
    middle = bootstrap.estimate(clusters)
    if bootstrap.standard_error(clusters) == 0:
        return point - parts.below, point + parts.above, "Jeffreys' interval of the share of misses"
    low, high, how = _resampled(clusters, wanted)
    low, high = np.clip((low, high), *wanted.bounds)
    down = _together(middle - low, parts.below, parts.correlation)
    up = _together(high - middle, parts.above, parts.correlation)
    return point - down, point + up, how


def _together(first: float, second: float, correlation: float) -> float:
    """The distance of a sum to its end, from those of its parts."""
    return float(np.sqrt(first**2 + second**2 + 2 * correlation * first * second))


def _without_spread(point: float, groups: int, wanted: _Wanted) -> tuple[float | None, float | None, str]:
    """All values are equal: resampling tells nothing, but a kind of case that was not seen has at most a share (`unseen`)."""
    low, high = wanted.bounds
    if not np.isfinite([low, high]).all():
        return None, None, f"no interval: no spread over {groups} {wanted.unit}"
    most = unseen(groups, wanted.level)
    ends = point - most * (point - low), point + most * (high - point)
    return *ends, f"bound of what {groups} equal {wanted.unit} cannot show"
