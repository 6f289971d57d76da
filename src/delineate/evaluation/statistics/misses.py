"""Rare misses: what their share, seen or not, adds to the interval of a mean of overlap scores.

A good model misses 3 % of the cases altogether (Dice 0) and scores about .94 else. Half of all samples of 20 cases hold no miss,
and what is made from their spread alone is far too narrow: resampling cannot draw what is not there. So a mean is taken apart,

    mean = mean of the scores with each miss set to the others' mean  −  share of misses × that mean,

and the two parts' distances to their own ends are put together (MOVER: Zou & Donner, Statistics in Medicine 27 (2008) 1693). The
first part is resampled. The share has Jeffreys' interval, and where no miss was seen the exact bound 1 − α^(1/n), about 3/n:
the "rule of three". With groups, n is the number of independent cases that would tell as much of the share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

__all__ = [
    "Floats",
    "Misses",
    "split_off_misses",
    "unseen",
]

Floats = NDArray[np.float64]
_MISS = 1e-12
"""A score up to here is a miss."""


@dataclass(frozen=True)
class Misses:
    """The scores without their misses, and how far the share of misses may move the mean."""

    filled: Floats
    """The values, each miss set to its column's mean of the others; (n, columns), NaN = not counted."""
    below: float
    """How much lower the mean may be for misses that this sample does not show."""
    above: float
    """How much higher it may be, since there may be fewer misses than in this sample."""
    correlation: float
    """Of the two parts' errors over groups, from 0 on: hard groups have more misses and lower scores."""


def split_off_misses(values: ArrayLike, codes: NDArray[np.int64], level: float) -> Misses:
    """`values`: (n, columns) of scores in [0, 1], NaN = not counted; every column has some; `codes`: (n,) numbers of the groups."""
    table = np.asarray(values, np.float64)
    counted = ~np.isnan(table)
    missed = counted & (np.where(counted, table, 1) <= _MISS)
    hit = counted & ~missed
    means = np.divide(np.where(hit, table, 0).sum(0), hit.sum(0), out=np.ones(table.shape[1]), where=hit.any(0))
    filled = np.where(missed, means, table)
    counts = _by_group(counted, codes)
    of_misses = _errors(_by_group(missed, codes), counts)
    shares = missed.sum(0) / counted.sum(0)
    reach = np.array([_reach(*of, level) for of in zip(shares, of_misses.T, counts.T, strict=True)])
    reach *= means[:, None] / len(means)
    alike = _correlations(of_misses)
    below, above = (float(np.sqrt(side @ alike @ side)) for side in reach.T)
    of_filled = _errors(_by_group(np.where(counted, filled, 0), codes), counts)
    parts = np.stack([of_filled.mean(1), -(of_misses * means).mean(1)], axis=1)
    return Misses(filled, below, above, float(_correlations(parts)[0, 1]))


def unseen(groups: int, level: float) -> float:
    """Largest share that a kind of case may have of which `groups` independent ones showed none; about 3 / groups at 95 %."""
    return float(1 - (1 - level) ** (1 / groups))


def _reach(share: float, errors: Floats, counts: Floats, level: float) -> tuple[float, float]:
    """How much larger and how much smaller the share of misses of a column may be; `errors`, `counts`: of its groups."""
    groups, size = int((counts > 0).sum()), float(counts.sum())
    if share in (0.0, 1.0):
        most = unseen(groups, level)
        return (most, 0.0) if share == 0 else (0.0, most)
    variance = groups / max(1, groups - 1) * float((errors**2).sum())
    independent = size if groups == size else share * (1 - share) / max(variance, 1e-300)
    independent = min(max(independent, float(groups)), size)
    if groups < size:  # the spread between few groups is itself hardly known (Korn & Graubard, 1998)
        independent *= float(stdtrit(size - 1, 0.975) / stdtrit(groups - 1, 0.975)) ** 2
    hits, tail = share * independent, (1 - level) / 2
    low, high = betaincinv(hits + 0.5, independent - hits + 0.5, [tail, 1 - tail])
    return max(0.0, float(high) - share), max(0.0, share - float(low))


def _by_group(table: NDArray[Any], codes: NDArray[np.int64]) -> Floats:
    sums = np.zeros((int(codes.max()) + 1, table.shape[1]))
    np.add.at(sums, codes, table)
    return sums


def _errors(sums: Floats, counts: Floats) -> Floats:
    """Each group's share in the error of its column's mean; they add up to 0."""
    total = counts.sum(0)
    return (sums - sums.sum(0) / total * counts) / total


def _correlations(errors: Floats) -> Floats:
    """Of the columns over the groups, those below 0 set to 0; of a column without errors none."""
    size = np.sqrt((errors**2).sum(0))
    unit = np.divide(errors, size, out=np.zeros_like(errors), where=size > _MISS)
    found = np.clip(unit.T @ unit, 0, 1)
    np.fill_diagonal(found, 1.0)
    return found
