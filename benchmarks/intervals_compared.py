"""Ways to make the interval of a mean of overlap scores, side by side: `statistics_simulation.py candidates` calls them.

Each takes scores (n,) in [0, 1] and gives both ends at 95 %. None but the adopted one knows groups.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, logit, ndtri, stdtrit

from delineate.evaluation.statistics import bootstrap
from delineate.evaluation.statistics.intervals import MANY, mean_interval

Floats = NDArray[np.float64]
Ends = tuple[float, float]
RESAMPLES = 1000
ALPHA = 0.05


def adopted(values: Floats, seed: int) -> Ends:
    """Misses apart, put together by MOVER (`statistics.misses`)."""
    found = mean_interval(values, resamples=RESAMPLES, seed=seed, bounds=(0, 1))
    return float(found.low or 0), 1.0 if found.high is None else found.high


def resampled(values: Floats, seed: int) -> Ends:
    """BCa from 20 cases, bootstrap-t below, of all values together."""
    clusters = bootstrap.cluster(values)
    if bootstrap.standard_error(clusters) == 0:
        return float(values.mean()), float(values.mean())
    method = bootstrap.bca if len(values) >= MANY else bootstrap.studentized
    low, high = np.clip(method(clusters, 1 - ALPHA, RESAMPLES, np.random.Generator(np.random.SFC64(seed))), 0, 1)
    return float(low), float(high)


def percentile(values: Floats, seed: int) -> Ends:
    drawn = values[np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    low, high = np.quantile(drawn, (ALPHA / 2, 1 - ALPHA / 2))
    return float(low), float(high)


def student(values: Floats, _: int) -> Ends:
    reach = _t(len(values)) * values.std(ddof=1) / len(values) ** 0.5
    return max(0.0, values.mean() - reach), min(1.0, values.mean() + reach)


def student_on_logit(values: Floats, _: int) -> Ends:
    mean = values.mean()
    if not 0 < mean < 1:
        return float(mean), float(mean)
    reach = _t(len(values)) * values.std(ddof=1) / len(values) ** 0.5 / (mean * (1 - mean))
    return float(expit(logit(mean) - reach)), float(expit(logit(mean) + reach))


def empirical_likelihood(values: Floats, _: int) -> Ends:
    """Owen (1988), calibrated by F(1, n − 1)."""
    count, mean = len(values), values.mean()
    limit = count / (count - 1) * _t(count) ** 2
    return _el_end(values, mean, values.min(), limit), _el_end(values, mean, values.max(), limit)


def empirical_likelihood_with_ends(values: Floats, seed: int) -> Ends:
    """The same with 0 and 1 as two more cases, so that the hull is the whole range."""
    return empirical_likelihood(np.concatenate([values, [0.0, 1.0]]), seed)


def betting(values: Floats, seed: int) -> Ends:
    """Hedged capital (Waudby-Smith & Ramdas, 2024): valid for any distribution on [0, 1] at any n."""
    values = np.random.default_rng(seed).permutation(values)
    count, means = len(values), np.linspace(0, 1, 401)
    steps = np.arange(1, count + 1)
    middle = (0.5 + np.cumsum(values)) / (steps + 1)
    spread = (0.25 + np.cumsum((values - middle) ** 2)) / (steps + 1)
    stakes = np.sqrt(2 * np.log(2 / ALPHA) / (count * np.concatenate([[0.25], spread[:-1]])))
    up, down, kept = np.ones(401), np.ones(401), np.ones(401, bool)
    for value, stake in zip(values, stakes, strict=True):
        up *= 1 + np.minimum(stake, 0.5 / np.maximum(means, 1e-12)) * (value - means)
        down *= 1 - np.minimum(stake, 0.5 / np.maximum(1 - means, 1e-12)) * (value - means)
        kept &= np.maximum(up, down) / 2 < 1 / ALPHA
    inside = means[kept]
    return float(inside.min()), float(inside.max())


def anderson(values: Floats, _: int) -> Ends:
    """From the band of Dvoretzky, Kiefer and Wolfowitz around the distribution: valid for any distribution on [0, 1]."""
    ordered, count = np.sort(values), len(values)
    band = np.sqrt(np.log(2 / ALPHA) / 2 / count)
    below, steps = np.arange(1, count + 1) / count, np.diff(np.append(ordered, 1))
    low = 1 - ordered[0] * min(1, band) - (np.minimum(1, below + band) * steps).sum()
    return max(0.0, low), 1 - (np.maximum(0, below - band) * steps).sum()


def wilson(share: float, count: int) -> Ends:
    z = ndtri(1 - ALPHA / 2)
    middle, reach = share + z**2 / 2 / count, z * np.sqrt(share * (1 - share) / count + (z / 2 / count) ** 2)
    return max(0.0, (middle - reach) / (1 + z**2 / count)), min(1.0, (middle + reach) / (1 + z**2 / count))


def clopper_pearson(share: float, count: int) -> Ends:
    hits = round(share * count)
    low = 0.0 if hits == 0 else betaincinv(hits, count - hits + 1, ALPHA / 2)
    return float(low), 1.0 if hits == count else float(betaincinv(hits + 1, count - hits, 1 - ALPHA / 2))


def misses_apart(values: Floats, seed: int, share_of: Callable[[float, int], Ends]) -> Ends:
    """Share of misses × mean of the others, by MOVER, with another interval of the share."""
    rest, count = values[values > 0], len(values)
    if not len(rest):
        return 0.0, 1 - ALPHA ** (1 / count)
    share, mean = 1 - len(rest) / count, rest.mean()
    low, high = resampled(rest, seed) if len(rest) >= 6 else student(rest, seed)
    least, most = share_of(share, count)
    down = np.hypot((1 - share) * (mean - low), mean * (most - share))
    up = np.hypot((1 - share) * (high - mean), mean * (share - least))
    return max(0.0, (1 - share) * mean - down), min(1.0, (1 - share) * mean + up)


CANDIDATES: dict[str, Callable[[Floats, int], Ends]] = {
    "adopted": adopted,
    "BCa, bootstrap-t": resampled,
    "percentile": percentile,
    "t": student,
    "t on logit": student_on_logit,
    "EL": empirical_likelihood,
    "EL with ends": empirical_likelihood_with_ends,
    "misses apart, Wilson": lambda values, seed: misses_apart(values, seed, wilson),
    "misses apart, Clopper-Pearson": lambda values, seed: misses_apart(values, seed, clopper_pearson),
    "betting": betting,
    "Anderson": anderson,
}


def _t(count: int) -> float:
    return float(stdtrit(count - 1, 1 - ALPHA / 2))


def _el_end(values: Floats, inner: float, outer: float, limit: float) -> float:
    """Where −2 log of the likelihood ratio reaches the limit, between the mean and an end of the hull."""
    for _ in range(30):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if _el_statistic(values - middle) < limit else (inner, middle)
    return float(inner)


def _el_statistic(away: Floats) -> float:
    if away.min() >= 0 or away.max() <= 0:
        return float("inf")
    low, high = -1 / away.max(), -1 / away.min()
    for _ in range(40):
        tilt = (low + high) / 2
        low, high = (tilt, high) if (away / (1 + tilt * away)).sum() > 0 else (low, tilt)
    return float(2 * np.log1p((low + high) / 2 * away).sum())
