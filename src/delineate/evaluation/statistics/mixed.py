"""Claims about methods: seeds (nested in their method) and cases (crossed with it) are both drawn by chance.

Score of method m, its seed s and case c:  y = method_m + case_c + (case×method)_mc + seed_ms + residual_msc.

A case-paired test of two trained models takes the seed's part for the method's: retraining moves the mean of the same test set,
and no number of cases averages that out. Here the variance of the difference of the two methods' means is estimated as

    Σ_m v_m / S_m  +  max(0, v_d / n − Σ_m v_e,m / (S_m·n))

with v_m the variance of method m's seed means (S_m seeds), v_d the variance over the n cases of the difference of the
methods' means per case, v_e,m the residual variance, which the first term already holds. The first term has the degrees of
freedom of Welch (Biometrika 34 (1947) 28), the second n − 1; the critical value is the mean of the two t quantiles, weighted by
the terms (Cochran & Cox, Experimental Designs, 1950). One t distribution for both (Satterthwaite, 1946) rejects true hypotheses
too often with two or three seeds whose spread differs between the methods. With groups, sums over groups take the place of cases.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from delineate.evaluation.statistics.bootstrap import group_codes
from delineate.evaluation.statistics.intervals import FEWEST, Interval

__all__ = [
    "Floats",
    "MethodClaim",
    "NoClaim",
    "Part",
    "compare_methods",
    "critical",
    "seed_part",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One term of the variance of an estimate, with its degrees of freedom."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class MethodClaim:
    """First method against second."""

    difference: Interval
    """First − second, of the methods' means over seeds and cases; its interval holds for new seeds and new cases."""
    p: float
    """Two-sided, of no difference between the methods."""
    seeds: tuple[int, int]
    seed_sd: tuple[float, float]
    """Spread of the mean score from seed to seed, on these cases."""
    case_sd: tuple[float, float]
    """Spread of the score (mean over seeds) from case to case."""
    seed_part: Part
    """Of the variance of the difference: what more seeds would make smaller."""
    case_part: Part
    """Of the variance of the difference: what more cases would make smaller."""
    dropped: int
    """Cases left out, because a run has no score for them."""


@dataclass(frozen=True)
class NoClaim:
    """Why nothing can be said about the methods."""

    reason: str


def compare_methods(
    first: ArrayLike,
    second: ArrayLike,
    groups: Sequence[Hashable] | NDArray | None = None,
    *,
    level: float = 0.95,
) -> MethodClaim | NoClaim:
    """Compare two methods by several trained models (seeds) of each, on the same cases.

    The numbers of seeds may differ; then, as with seed spreads that differ, the test is approximate.

    Args:
        first: Scores of the first method, shape (seeds, n). A NaN in any run drops the case.
        second: Scores of the second method, shape (seeds, n), over the same cases.
        groups: Shape (n,): what was drawn independently, such as the patient. None: each case is its own group.
        level: Confidence level of the interval of the difference.

    Returns:
        The difference of the methods with interval and p value; a `NoClaim` with the reason where a method has one seed only
        or there are fewer than 6 groups.

    Raises:
        ValueError: Shapes that do not fit.

    Example:
        >>> from delineate.evaluation.statistics.mixed import compare_methods
        >>> cases = np.linspace(0.5, 0.9, 8)
        >>> claim = compare_methods([cases, cases + 0.01], [cases - 0.1, cases - 0.11])
        >>> print(f"{claim.difference.mean:.2f} from {claim.seeds} seeds")
        0.11 from (2, 2) seeds
    """
    one, two = np.atleast_2d(np.asarray(first, np.float64)), np.atleast_2d(np.asarray(second, np.float64))
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1]:
        raise ValueError(f"scores are seeds×cases over the same cases, not {one.shape} and {two.shape}")
    codes = group_codes(one.shape[1], groups)
    whole = np.isfinite(one).all(0) & np.isfinite(two).all(0)
    one, two, codes = one[:, whole], two[:, whole], np.unique(codes[whole], return_inverse=True)[1]
    seeds, count, unit = (len(one), len(two)), int(codes.max(initial=-1)) + 1, "cases" if groups is None else "groups"
    if min(seeds) < 2:
        return NoClaim("one seed of a method: what is compared are these two trained models, not the methods")
    if count < FEWEST:
        return NoClaim(f"fewer than {FEWEST} {unit}: too few for a claim about the methods")
    seed_part, case_part = _parts(one, two, codes)
    mean = float(one.mean() - two.mean())
    error = float(np.sqrt(seed_part.variance + case_part.variance))
    reach = error * critical(1 - level, seed_part, case_part) if error else 0.0
    how = f"seeds and {unit} as random effects: {seeds[0]} and {seeds[1]} seeds, {count} {unit}"
    return MethodClaim(
        difference=Interval(mean, mean - reach, mean + reach, one.shape[1], count, how),
        p=_p_value(abs(mean), error, seed_part, case_part),
        seeds=seeds,
        seed_sd=(float(one.mean(1).std(ddof=1)), float(two.mean(1).std(ddof=1))),
        case_sd=(float(one.mean(0).std(ddof=1)), float(two.mean(0).std(ddof=1))),
        seed_part=seed_part,
        case_part=case_part,
        dropped=int((~whole).sum()),
    )


def critical(alpha: float, *parts: Part) -> float:
    """Two-sided critical value of an estimate over its standard error: the parts' t quantiles, weighted by their variance."""
    shares = [part.variance for part in parts]
    return float(np.average([-stdtrit(part.freedom, alpha / 2) for part in parts], weights=shares))


def seed_part(variances: tuple[float, float], seeds: tuple[int, int]) -> Part:
    """The seeds' part of the variance of a difference, from the variances of the seed means; Welch's degrees of freedom."""
    parts = np.array(variances) / seeds
    freedom = parts.sum() ** 2 / (parts**2 / (np.array(seeds) - 1)).sum() if parts.any() else sum(seeds) - 2
    return Part(float(parts.sum()), float(freedom))


def _parts(one: Floats, two: Floats, codes: NDArray[np.int64]) -> tuple[Part, Part]:
    """The seeds' and the cases' part of the variance of the difference."""
    seeds = (len(one), len(two))
    of_seeds = seed_part((float(one.mean(1).var(ddof=1)), float(two.mean(1).var(ddof=1))), seeds)
    difference = one.mean(0) - two.mean(0)
    count = int(codes.max()) + 1
    of_cases = _variance_of_mean(difference[None] - difference.mean(), codes)
    shared = sum(_variance_of_mean(_residuals(runs), codes) / (len(runs) - 1) / len(runs) for runs in (one, two))
    return of_seeds, Part(max(0.0, of_cases - shared), count - 1)


def _residuals(runs: Floats) -> Floats:
    """What neither the case nor the seed explains: scores without row and column means."""
    return runs - runs.mean(0) - runs.mean(1, keepdims=True) + runs.mean()


def _variance_of_mean(centered: Floats, codes: NDArray[np.int64]) -> float:
    """Variance of a mean over cases by the spread of its groups' sums, added up over the rows."""
    count = int(codes.max()) + 1
    sums = np.stack([np.bincount(codes, row, count) for row in centered]) / centered.shape[1]
    return float(count / (count - 1) * (sums**2).sum())


def _p_value(size: float, error: float, *parts: Part) -> float:
    """The level at which the critical value is what was found: between the p values of the parts' own t distributions."""
    if error <= 1e-12 * size or size == 0:
        return 0.0 if size else 1.0
    alone = [2 * float(stdtr(part.freedom, -size / error)) for part in parts]
    low, high = max(min(alone), 1e-300), max(alone)

    def excess(log_p: float) -> float:
        return critical(math.exp(log_p), *parts) - size / error

    # Searched by its logarithm: the ends may be hundreds of powers of ten apart.
    ends = math.log(low), math.log(high)
    if high <= low or excess(ends[0]) <= 0:
        return low
    return high if excess(ends[1]) >= 0 else math.exp(brentq(excess, *ends, xtol=1e-9))
