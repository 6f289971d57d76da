"""Does the model know which of its masks are wrong? Scores of the cases that are left when a person looks at the least sure ones.

Risk-coverage curves: Geifman & El-Yaniv, “Selective classification for deep neural networks”, NeurIPS 2017. These are of scores, so
higher is better.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["FEWEST_CASES", "SHARES", "Coverage", "coverage_of"]

FEWEST_CASES: Final = 10
"""With fewer, a tenth of them is no case."""
SHARES: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Of the cases that a person looks at."""
_RESAMPLES = 1000
_SEED = 0


@dataclass(frozen=True)
class Coverage:
    """What looking at the most doubtful cases leaves."""

    shares: tuple[float, ...]
    looked_at: tuple[int, ...]
    """Cases, of each share rounded up."""
    rest: tuple[float, ...]
    """Mean score of the other cases."""
    intervals: tuple[tuple[float, float], ...]
    """95 %, groups of cases resampled (percentiles)."""
    best: tuple[float, ...]
    """The same, had the cases with the lowest scores been looked at."""
    correlation: float
    """Spearman's, of confidence and score; NaN where all of either are equal."""
    correlation_interval: tuple[float, float]
    cases: int


def coverage_of(
    confidence: Sequence[float],
    scores: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    shares: Sequence[float] = SHARES,
) -> Coverage | None:
    """Measure it.

    Args:
        confidence: Of each case; ties keep the order that is given.
        scores: Of each case, higher is better, finite.
        groups: What is resampled; None: each case by itself.
        shares: Of the cases, in [0, 1).

    Returns:
        The curve; None of fewer than `FEWEST_CASES` cases.

    Example:
        >>> from delineate.evaluation.statistics.coverage import coverage_of
        >>> found = coverage_of([0.1, *[0.9] * 9], [0.0, *[0.8] * 9])
        >>> [round(value, 2) for value in found.rest[:3]]
        [0.72, 0.8, 0.8]
    """
    sure, score = np.asarray(confidence, np.float64), np.asarray(scores, np.float64)
    if len(sure) < FEWEST_CASES:
        return None
    labels = list(range(len(sure))) if groups is None else list(groups)
    members = [np.flatnonzero([label == one for label in labels]) for one in dict.fromkeys(labels)]
    rng = np.random.default_rng(_SEED)
    drawn, correlations = [], []
    for _ in range(_RESAMPLES):
        picked = np.concatenate([members[at] for at in rng.integers(0, len(members), len(members))])
        drawn.append(_rest(sure[picked], score[picked], shares))
        correlations.append(_spearman(sure[picked], score[picked]))
    low, high = np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    known = [value for value in correlations if np.isfinite(value)]
    ends = np.percentile(known, [2.5, 97.5]) if known else (np.nan, np.nan)
    return Coverage(
        tuple(shares),
        tuple(_number(share, len(sure)) for share in shares),
        tuple(_rest(sure, score, shares)),
        tuple(zip(low.tolist(), high.tolist(), strict=True)),
        tuple(_rest(score, score, shares)),
        _spearman(sure, score),
        (float(ends[0]), float(ends[1])),
        len(sure),
    )


def _rest(order: NDArray[np.float64], score: NDArray[np.float64], shares: Sequence[float]) -> list[float]:
    """Mean scores without the share of the cases that are lowest in `order`."""
    ranked = score[np.argsort(order, kind="stable")]
    return [float(ranked[_number(share, len(ranked)) :].mean()) for share in shares]


def _number(share: float, cases: int) -> int:
    return min(cases - 1, int(np.ceil(round(share * cases, 9))))


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)
