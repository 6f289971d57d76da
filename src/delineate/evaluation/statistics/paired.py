"""Two score vectors over the same cases: the mean difference, whether chance explains it, and how large it is.

This compares two sets of predictions. The result holds for these two trained models; a claim about the methods that trained
them needs several seeds (see `mixed`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from delineate.evaluation.statistics import bootstrap
from delineate.evaluation.statistics.intervals import Interval, mean_interval
from delineate.evaluation.statistics.ties import average_ranks_of_many, tidy

__all__ = [
    "Better",
    "Floats",
    "Paired",
    "compare_paired",
    "holm",
    "permutation",
    "rank_biserial",
    "wilcoxon",
]

Floats = NDArray[np.float64]
Better = Literal["higher", "lower"]
_ENUMERATED = 14
"""Up to so many groups that differ, all patterns of signs are tried."""
_EXACT_RANKS = 60
"""Up to so many groups that differ, the distribution of the signed ranks is counted out."""
_DRAWN_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Paired:
    """First against second, over the cases that both have a score for."""

    difference: Interval
    """Mean over cases of first − second."""
    better: Better
    """Which scores are good."""
    sd: float | None
    """Spread of the groups' differences, √groups × the standard error of the mean; None for fewer than two groups."""
    dropped: int
    """Cases left out, because one of the two has no score."""
    first_better: int
    second_better: int
    equal: int
    """Numbers of cases; they add up to `difference.n`."""
    wilcoxon_p: float | None
    """Signed-rank test of the groups' mean differences, two-sided (see `wilcoxon`)."""
    permutation_p: float | None
    """Sign-flip test of the mean difference, two-sided (see `permutation`)."""
    permutation_how: str
    rank_biserial: float | None
    """(rank sum where first > second − rank sum where first < second) / their sum, in [−1, 1] (Kerby, 2014)."""
    d_z: float | None
    """Mean / standard deviation of the groups' mean differences (Cohen); None without spread."""
    least_p: float
    """The smallest p the two tests could give with so many groups that differ."""


def compare_paired(
    first: ArrayLike,
    second: ArrayLike,
    groups: Sequence[Hashable] | NDArray | None = None,
    *,
    better: Better = "higher",
    bounds: tuple[float, float] = (-np.inf, np.inf),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Paired:
    """Compare two models by their scores on the same cases.

    Cases without a score in one of the two are dropped and counted. Tests and effect sizes work on whole groups. Differences and
    effect sizes have the sign of first − second, whichever scores are good.

    Args:
        first: Scores of the first model, shape (n,); NaN: no score.
        second: Scores of the second model, shape (n,); entry i belongs to the same case as entry i of `first`.
        groups: Shape (n,): what was drawn independently, such as the patient. None: each case is its own group.
        better: Whether higher or lower scores are good.
        bounds: Lowest and highest possible score.
        level: Confidence level of the interval of the difference.
        resamples: Number of bootstrap resamples, and of sign patterns of the permutation test.
        seed: Seed of both.

    Returns:
        Mean difference with its interval, p values of both tests, effect sizes, and how many cases each model is better on.

    Raises:
        ValueError: Vectors of different shapes, or infinite scores.

    Example:
        >>> from delineate.evaluation.statistics.paired import compare_paired
        >>> first = [0.9, 0.8, 0.7, 0.95, 0.85, 0.6, 0.75, 0.9]
        >>> second = [0.8, 0.8, 0.65, 0.9, 0.7, 0.5, 0.7, 0.85]
        >>> result = compare_paired(first, second, bounds=(0, 1))
        >>> print(f"{result.difference.mean:.3f}, p = {result.permutation_p:.3f} ({result.permutation_how})")
        0.069, p = 0.016 (exact, 128 sign patterns)
        >>> result.first_better, result.equal, result.second_better
        (7, 1, 0)
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"two vectors over the same cases are compared, not {one.shape} with {two.shape}")
    if np.isinf(one).any() or np.isinf(two).any():
        raise ValueError("scores must be finite or NaN")
    differences = tidy(one - two)
    clusters = bootstrap.cluster(differences, groups)
    reach = bounds[1] - bounds[0]
    sums = tidy(clusters.sums.ravel())
    means = tidy(clusters.sums.ravel() / clusters.counts.ravel())
    above, below = int((differences > 0).sum()), int((differences < 0).sum())
    test_p, how = permutation(sums, draws=resamples, seed=seed)
    return Paired(
        difference=mean_interval(
            differences, groups, level=level, resamples=resamples, seed=seed, bounds=(-reach, reach)
        ),
        better=better,
        sd=bootstrap.standard_error(clusters) * clusters.groups**0.5 if clusters.groups > 1 else None,
        dropped=int(np.isnan(differences).sum()),
        first_better=above if better == "higher" else below,
        second_better=below if better == "higher" else above,
        equal=clusters.n - above - below,
        wilcoxon_p=wilcoxon(means),
        permutation_p=test_p,
        permutation_how=how,
        rank_biserial=rank_biserial(means),
        d_z=_standardized(means),
        least_p=0.5 ** (max(1, int((sums != 0).sum())) - 1),
    )


def wilcoxon(differences: Floats) -> float | None:
    """Two-sided p of the signed-rank test (Wilcoxon, Biometrics Bulletin 1 (1945) 80).

    Zeros take part in the ranking and are then left out (Pratt, JASA 54 (1959) 655); ties share the average rank. Exact, given
    the ranks, for up to 60 that are not zero; beyond, the normal approximation with the ranks' own variance.

    Args:
        differences: First − second of each group, shape (groups,), without NaN.

    Returns:
        The p value; 1 where all differences are 0, None without differences.

    Example:
        >>> from delineate.evaluation.statistics.paired import wilcoxon
        >>> wilcoxon(np.array([0.1, 0.2, 0.3, -0.1, 0.2, 0.4]))
        0.09375
    """
    ranks = _signed_ranks(differences)
    if not len(differences):
        return None
    if not len(ranks):
        return 1.0
    total = np.abs(ranks).sum()
    above = float(ranks[ranks > 0].sum())
    if len(ranks) > _EXACT_RANKS:
        return float(2 * ndtr(-abs(2 * above - total) / np.sqrt((ranks**2).sum())))
    ways = _rank_sums(np.abs(2 * ranks).round().astype(int))
    edge = round(2 * min(above, total - above))
    return float(min(1.0, 2 * ways[: edge + 1].sum()))


def permutation(sums: Floats, *, draws: int = 10_000, seed: int = 0) -> tuple[float | None, str]:
    """Two-sided p of the sign-flip permutation test.

    Under the hypothesis that first and second are exchangeable within a group, each sum is as likely with the other sign.
    All patterns are tried for up to 14 sums that are not zero; else patterns are drawn, and p = (1 + hits) / (1 + draws)
    (Phipson & Smyth, 2010), which is never 0.

    Args:
        sums: Sum of the differences of each group's cases, shape (groups,), without NaN.
        draws: Number of sign patterns that are drawn where they are not all tried.
        seed: Seed of the drawing.

    Returns:
        The p value (None without pairs), and in words how it was found.

    Example:
        >>> from delineate.evaluation.statistics.paired import permutation
        >>> permutation(np.array([0.1, 0.2, 0.3, -0.1, 0.2, 0.4]))
        (0.09375, 'exact, 64 sign patterns')
    """
    if not len(sums):
        return None, "no test: no pairs"
    apart = np.sort(sums[sums != 0])
    edge = abs(apart.sum()) - 1e-9 * np.abs(apart).sum()
    if len(apart) <= _ENUMERATED:
        signs = 1 - 2 * (np.arange(2 ** len(apart))[:, None] >> np.arange(len(apart)) & 1)
        return float((np.abs(signs @ apart) >= edge).mean()), f"exact, {2 ** len(apart)} sign patterns"
    hits = sum(int((np.abs(flipped) >= edge).sum()) for flipped in _flipped(apart, draws, seed))
    return (1 + hits) / (1 + draws), f"{draws} random sign patterns"


def rank_biserial(differences: Floats) -> float | None:
    """Rank-biserial correlation (R⁺ − R⁻) / (R⁺ + R⁻), from Pratt's signed ranks.

    Args:
        differences: First − second of each group, shape (groups,), without NaN.

    Returns:
        From −1 (first is always below) to 1 (always above); None where nothing differs.

    Example:
        >>> from delineate.evaluation.statistics.paired import rank_biserial
        >>> round(rank_biserial(np.array([0.1, 0.2, 0.3, -0.1])), 2)
        0.7
    """
    ranks = _signed_ranks(differences)
    return float(ranks.sum() / np.abs(ranks).sum()) if len(ranks) else None


def holm(p_values: ArrayLike) -> Floats:
    """P values adjusted for their number by Holm's step-down method (Scand. J. Statist. 6 (1979) 65).

    Args:
        p_values: P values of one family of tests, shape (tests,). NaN: no test; it is not counted and stays NaN.

    Returns:
        Adjusted p values, shape (tests,), in the given order.

    Example:
        >>> from delineate.evaluation.statistics.paired import holm
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def _signed_ranks(differences: Floats) -> Floats:
    """Ranks of the sizes, zeros ranked too and then dropped, with the sign of the difference."""
    return (average_ranks_of_many(np.abs(differences)) * np.sign(differences))[differences != 0]


def _rank_sums(doubled: NDArray[np.int64]) -> Floats:
    """Probability of each sum (index) when each doubled rank is in it with probability a half."""
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1
    for rank in doubled:
        ways[rank:] = (ways[rank:] + ways[:-rank]) / 2
        ways[:rank] /= 2
    return ways


def _flipped(sums: Floats, draws: int, seed: int) -> Iterator[Floats]:
    """Totals under random signs, in blocks."""
    rng = np.random.Generator(np.random.SFC64(seed))
    rows = max(1, _DRAWN_AT_ONCE // len(sums))
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        bits = np.frombuffer(rng.bytes(count * -(-len(sums) // 8)), np.uint8).reshape(count, -1)
        signs = np.unpackbits(bits, axis=1, count=len(sums)).astype(np.float64)
        yield 2 * (signs @ sums) - sums.sum()


def _standardized(differences: Floats) -> float | None:
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return float(differences.mean()) / spread if spread > 0 else None
