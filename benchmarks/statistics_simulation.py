"""What the statistics deliver, by simulation, and how long they take. The tables of `docs/statistics.md` are its output.

    python benchmarks/statistics_simulation.py coverage | misses | candidates | tests | methods | power | speed

Every part is seeded, runs in one process and prints Markdown. The public functions themselves are called, once per data set.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri, stdtr, stdtrit
from scipy.stats import bootstrap as scipy_bootstrap

from delineate.evaluation.statistics.intervals import mean_interval
from delineate.evaluation.statistics.mixed import MethodClaim, compare_methods
from delineate.evaluation.statistics.paired import compare_paired, wilcoxon
from delineate.evaluation.statistics.power import least_detectable, least_detectable_by_methods
from intervals_compared import CANDIDATES
from turns import best_of_turns, print_times

Floats = NDArray[np.float64]
GROUPS = (5, 6, 10, 19, 20, 50, 100, 200)
TINY = 1e-12
ZEROS = 0.04
MEMBERS = 5
"""Cases in a group of the clustered data; their latent scores correlate by a half."""


def dice(uniform: Floats) -> Floats:
    """Beta(8, 2): mean 0.8, skewed to the left."""
    return betaincinv(8, 2, uniform)


def dice_with_zeros(uniform: Floats) -> Floats:
    """The same with 4 % missed cases."""
    return np.where(uniform < ZEROS, 0, dice(np.maximum(0, uniform - ZEROS) / (1 - ZEROS)))


def hd95(uniform: Floats) -> Floats:
    """Lognormal, median 12 pixels, standard deviation of the logarithm 1: mean 19.8, the largest of 100 about 120."""
    return 12 * np.exp(ndtri(uniform))


def normal(uniform: Floats) -> Floats:
    """Standard normal, for reference."""
    return ndtri(uniform)


def good_with_misses(uniform: Floats, share: float, a: float = 30, b: float = 2) -> Floats:
    """Beta(30, 2), mean .94, and a share of cases that are missed altogether."""
    return np.where(uniform < share, 0, betaincinv(a, b, np.clip((uniform - share) / (1 - share), 1e-12, 1)))


def nearly_missed(uniform: Floats) -> Floats:
    """Beta(30, 2), but for 3 % of the cases Beta(1, 9): hardly touched, not missed."""
    low = betaincinv(1, 9, np.clip(uniform / 0.03, 0, 1))
    return np.where(uniform < 0.03, low, good_with_misses(uniform, 0.03))


DISTRIBUTIONS: dict[str, tuple[Callable[[Floats], Floats], float, tuple[float, float]]] = {
    "Dice, Beta(8, 2)": (dice, 0.8, (0, 1)),
    "Dice with 4 % zeros": (dice_with_zeros, 0.8 * (1 - ZEROS), (0, 1)),
    "HD95, lognormal": (hd95, 12 * np.exp(0.5), (0, np.inf)),
    "normal": (normal, 0.0, (-np.inf, np.inf)),
}
"""Name → quantile function, true mean, range."""


Quantile = Callable[[Floats], Floats]
MISSES: dict[str, tuple[Quantile, float]] = {
    **{
        f"{100 * share:.0f} % zeros, else Beta(30, 2)": (partial(good_with_misses, share=share), 30 / 32 * (1 - share))
        for share in (0.0, 0.01, 0.03, 0.05, 0.10)
    },
    "all 1": (np.ones_like, 1.0),
    "all 0.8": (lambda uniform: np.full_like(uniform, 0.8), 0.8),
    "0 or 1, half each": (lambda uniform: np.where(uniform > 0.5, 1.0, 0.0), 0.5),
    "0 or 1, 5 % zeros": (lambda uniform: np.where(uniform > 0.05, 1.0, 0.0), 0.95),
}
"""What the interval was chosen by: name → quantile function, true mean; scores from 0 to 1."""
FRESH: dict[str, tuple[Quantile, float]] = {
    "2 % zeros, else Beta(12, 2)": (partial(good_with_misses, share=0.02, a=12, b=2), 12 / 14 * 0.98),
    "7 % zeros, else Beta(20, 3)": (partial(good_with_misses, share=0.07, a=20, b=3), 20 / 23 * 0.93),
    "15 % zeros, else Beta(5, 3)": (partial(good_with_misses, share=0.15, a=5, b=3), 5 / 8 * 0.85),
    "3 % Beta(1, 9), else Beta(30, 2)": (nearly_missed, 0.97 * 30 / 32 + 0.03 * 0.1),
    "uniform": (lambda uniform: uniform, 0.5),
    "Beta(2, 8)": (partial(betaincinv, 2, 8), 0.2),
    "0 or 1, 20 % zeros": (lambda uniform: np.where(uniform > 0.2, 1.0, 0.0), 0.8),
}
"""What it was confirmed on, with other seeds."""


def uniforms(rng: np.random.Generator, groups: int, members: int) -> Floats:
    """Groups×members uniform numbers; within a group their normal scores correlate by a half."""
    if members == 1:
        return rng.random((groups, 1))
    shared, own = rng.standard_normal((groups, 1)), rng.standard_normal((groups, members))
    return ndtr((shared + own) / np.sqrt(2))


def coverage(replicates: int, resamples: int) -> None:
    """Share of data sets whose 95 % interval holds the true mean, and on which side the others miss it."""
    print(f"{replicates} data sets per row, {resamples} resamples each.\n")
    print("| Scores | Groups | Cases | Covered | Too low | Too high | Mean width | t interval over cases |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for members in (1, MEMBERS):
        for name, (quantile, mean, bounds) in DISTRIBUTIONS.items():
            for groups in GROUPS:
                rng = np.random.default_rng([groups, members])
                sets = [quantile(uniforms(rng, groups, members)) for _ in range(replicates)]
                row = _coverage(sets, mean, bounds, resamples)
                print(f"| {name} | {groups} | {groups * members} | {row} |", flush=True)


def _coverage(sets: list[Floats], mean: float, bounds: tuple[float, float], resamples: int) -> str:
    codes = np.repeat(np.arange(len(sets[0])), sets[0].shape[1])
    naive = np.mean([abs(values.mean() - mean) <= _t_reach(values.ravel()) for values in sets])
    found = [
        mean_interval(values.ravel(), codes, resamples=resamples, seed=seed, bounds=bounds)
        for seed, values in enumerate(sets)
    ]
    ends = np.array([(of.low, of.high) for of in found if of.low is not None and of.high is not None])
    if not len(ends):
        return f"no interval |  |  |  | {100 * naive:.1f} %"
    low, high = (ends[:, 1] < mean).mean(), (ends[:, 0] > mean).mean()
    shares = " | ".join(f"{100 * share:.1f} %" for share in (1 - low - high, low, high))
    return f"{shares} | {np.ptp(ends, axis=1).mean():.3g} | {100 * naive:.1f} %"


def misses(replicates: int, resamples: int) -> None:
    """Coverage and width of the adopted interval, and of the same without room for misses, where misses are rare."""
    print(f"{replicates} data sets per row, {resamples} resamples each.\n")
    print(
        "| Scores | Groups | Cases | Covered | Too low | Too high | Mean width | All resampled together | Its width |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for at, (known, members) in enumerate(product((MISSES, FRESH), (1, MEMBERS))):
        for name, (quantile, mean) in known.items():
            for groups in (6, 10, 20, 40, 100, 200):
                rng = np.random.default_rng([groups, members, at])
                sets = [quantile(uniforms(rng, groups, members)) for _ in range(replicates)]
                codes = np.repeat(np.arange(groups), members)
                made = [_both(values.ravel(), codes, resamples, seed) for seed, values in enumerate(sets)]
                low, high, old_low, old_high = np.array(made).T
                shares = ((low <= mean + TINY) & (mean - TINY <= high), high < mean - TINY, low > mean + TINY)
                words = " | ".join(f"{100 * share.mean():.1f} %" for share in shares)
                old = (
                    f"{100 * ((old_low <= mean) & (mean <= old_high)).mean():.1f} % | {(old_high - old_low).mean():.3g}"
                )
                print(
                    f"| {name} | {groups} | {groups * members} | {words} | {(high - low).mean():.3g} | {old} |",
                    flush=True,
                )


def _both(values: Floats, codes: NDArray[np.int64], resamples: int, seed: int) -> tuple[float, float, float, float]:
    """Ends of the adopted interval, and of one that knows nothing of misses (a point where nothing spreads)."""
    found = mean_interval(values, codes, resamples=resamples, seed=seed, bounds=(0, 1))
    plain = mean_interval(values, codes, resamples=resamples, seed=seed)
    ends = [found.mean if end is None else end for end in (found.low, found.high, plain.low, plain.high)]
    return tuple(float(np.clip(end or 0.0, 0, 1)) for end in ends)  # type: ignore[return-value]


def candidates(replicates: int) -> None:
    """Coverage / mean width of all candidates, single cases."""
    print(f"{replicates} data sets per row.\n")
    print(f"| Scores | Cases | {' | '.join(CANDIDATES)} |")
    print(f"| --- | ---: |{' ---: |' * len(CANDIDATES)}")
    chosen = {"Dice, Beta(8, 2)": (dice, 0.8), "Dice with 4 % zeros": (dice_with_zeros, 0.768), **MISSES}
    for name, (quantile, mean) in chosen.items():
        for cases in (6, 10, 20, 40, 100, 200):
            rng = np.random.default_rng([cases, 77])
            sets = [quantile(rng.random(cases)) for _ in range(replicates)]
            cells = []
            for make in CANDIDATES.values():
                low, high = np.array([make(values, seed) for seed, values in enumerate(sets)]).T
                inside = (low <= mean + 1e-12) & (mean - 1e-12 <= high)
                cells.append(f"{100 * inside.mean():.0f} / {(high - low).mean():.3f}")
            print(f"| {name} | {cases} | {' | '.join(cells)} |", flush=True)


def _t_reach(values: Floats) -> float:
    return float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))


def tests(replicates: int, draws: int) -> None:
    """False positives of the paired tests when first and second are exchangeable, at 5 %."""
    print(f"{replicates} pairs of score vectors per row, {draws} random sign patterns beyond 14 groups.\n")
    print("| Scores | Groups | Cases | Permutation | Wilcoxon | Wilcoxon, groups ignored |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for members in (1, MEMBERS):
        for name, (quantile, _, _) in DISTRIBUTIONS.items():
            for groups in (6, 10, 20, 100):
                rng = np.random.default_rng([groups, members])
                hits = np.zeros(3)
                for seed in range(replicates):
                    pair = _null_pair(rng, quantile, groups, members)
                    codes = np.repeat(np.arange(groups), members)
                    result = compare_paired(*pair, codes, resamples=draws, seed=seed)
                    found = (result.permutation_p, result.wilcoxon_p, wilcoxon(pair[0] - pair[1]))
                    hits += [p is not None and p <= 0.05 for p in found]
                shares = " | ".join(f"{100 * hit / replicates:.1f} %" for hit in hits)
                print(f"| {name} | {groups} | {groups * members} | {shares} |", flush=True)


def _null_pair(
    rng: np.random.Generator, quantile: Callable[[Floats], Floats], groups: int, members: int
) -> tuple[Floats, Floats]:
    """Two equally distributed vectors that share the cases' difficulty; in groups, also an effect of group×model."""
    difficulty = rng.standard_normal((groups, members))
    latent = [difficulty + rng.standard_normal((groups, 1)) + rng.standard_normal((groups, members)) for _ in range(2)]
    first, second = (quantile(ndtr(of / np.sqrt(3))).ravel() for of in latent)
    return first, second


def runs(
    rng: np.random.Generator, seeds: int, cases: Floats, *, seed_sd: float, method_sd: float, run_sd: float
) -> Floats:
    """Scores seeds×cases of a method that is no better than another."""
    by_method = rng.normal(0, method_sd, len(cases))
    by_run = rng.normal(0, run_sd, (seeds, len(cases)))
    return 0.8 + cases + by_method + rng.normal(0, seed_sd, (seeds, 1)) + by_run


SEEDS = ((2, 2), (3, 3), (5, 5), (3, 5), (2, 5))
SEED_SDS = ((0.0, 0.0), (0.01, 0.01), (0.03, 0.03), (0.0, 0.014), (0.014, 0.0), (0.002, 0.03), (0.03, 0.002))
NOISES = {"0.08, 0": (0.08, 0.0), "0.02, 0.02": (0.02, 0.02)}
"""Standard deviations of case×method and of case×run: as large as is usual, and so small that seeds decide."""


def methods(replicates: int) -> None:
    """False positives of claims about methods that do not differ, at 5 %; 100 cases, standard deviation 0.15 between cases."""
    print(f"{replicates} pairs of methods per row, 100 cases.\n")
    print("| Noise | Seed sd (first, second) | Seeds | Claim | Satterthwaite | Wilcoxon, one run of each |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for (noise, (method_sd, run_sd)), seed_sds, seeds in product(NOISES.items(), SEED_SDS, SEEDS):
        if len(set(seeds)) == 1 and seed_sds[0] > seed_sds[1]:
            continue  # the mirror image of a row above
        rng = np.random.default_rng([*seeds, round(1e4 * run_sd)])
        hits = np.zeros(3)
        for _ in range(replicates):
            cases = rng.normal(0, 0.15, 100)
            one, two = (
                runs(rng, count, cases, seed_sd=sd, method_sd=method_sd, run_sd=run_sd)
                for count, sd in zip(seeds, seed_sds, strict=True)
            )
            hits += [*_claimed(one, two), (wilcoxon(one[0] - two[0]) or 0) <= 0.05]
        shares = " | ".join(f"{100 * hit / replicates:.1f} %" for hit in hits)
        print(f"| {noise} | {seed_sds[0]}, {seed_sds[1]} | {seeds[0]}, {seeds[1]} | {shares} |", flush=True)


def _claimed(one: Floats, two: Floats) -> tuple[bool, bool]:
    """Whether a difference is claimed, and whether it were with one t distribution of Satterthwaite's degrees of freedom."""
    claim = compare_methods(one, two)
    if not isinstance(claim, MethodClaim):
        return False, False
    parts = (claim.seed_part, claim.case_part)
    variance = sum(part.variance for part in parts)
    freedom = variance**2 / sum(part.variance**2 / part.freedom for part in parts)
    return claim.p <= 0.05, 2 * stdtr(freedom, -abs(claim.difference.mean or 0) / variance**0.5) <= 0.05


def power(replicates: int) -> None:
    """Share of comparisons that find a true difference as large as the least detectable one: 80 % is meant."""
    print(f"{replicates} comparisons per row.\n")
    print("| Comparison | True difference | Found | Satterthwaite |")
    print("| --- | ---: | ---: | ---: |")
    rng = np.random.default_rng(0)
    for groups in (8, 20, 100):
        shift = least_detectable(0.1, groups)
        vectors = (rng.normal(shift, 0.1, groups) for _ in range(replicates))
        hits = [(compare_paired(of, 0 * of, resamples=1000).permutation_p or 0) <= 0.05 for of in vectors]
        print(f"| paired, {groups} cases, sd 0.1 | {shift:.3f} | {100 * np.mean(hits):.1f} % |  |", flush=True)
    for seeds in (2, 3, 5):
        shift = _typical_least(rng, seeds)
        found = 100 * np.mean([_claimed(one + shift, two) for one, two in _pairs(rng, seeds, replicates)], axis=0)
        name = f"methods, {seeds} seeds, 100 cases, seed sd 0.01"
        print(f"| {name} | {shift:.3f} | {found[0]:.1f} % | {found[1]:.1f} % |", flush=True)


def _pairs(rng: np.random.Generator, seeds: int, count: int) -> Iterator[tuple[Floats, Floats]]:
    for _ in range(count):
        cases = rng.normal(0, 0.15, 100)
        one, two = (runs(rng, seeds, cases, seed_sd=0.01, method_sd=0.05, run_sd=0.03) for _ in range(2))
        yield one, two


def _typical_least(rng: np.random.Generator, seeds: int) -> float:
    """The median of what comparisons of this kind call their least detectable difference."""
    claims = [compare_methods(one, two) for one, two in _pairs(rng, seeds, 400)]
    return float(np.median([least_detectable_by_methods(claim) for claim in claims if isinstance(claim, MethodClaim)]))


def speed() -> None:
    """10 000 resamples of 1000 cases, against scipy's."""
    rng = np.random.default_rng(0)
    values, other = rng.beta(8, 2, (2, 1000))
    classes = rng.beta(8, 2, (1000, 8))
    contestants = {
        "scipy BCa": partial(scipy_bootstrap, (values,), np.mean, method="BCa", n_resamples=10_000, rng=0),
        "interval, 1000 cases": partial(mean_interval, values),
        "8 classes": partial(mean_interval, classes),
        "paired comparison": partial(compare_paired, values, other),
        "interval, 10 000 cases": partial(mean_interval, np.tile(values, 10) + rng.normal(0, 0.01, 10_000)),
    }
    print_times(best_of_turns(contestants, rounds=5))


PARTS: dict[str, Callable[[], None]] = {
    "coverage": partial(coverage, 2000, 1000),
    "misses": partial(misses, 1000, 1000),
    "candidates": partial(candidates, 400),
    "tests": partial(tests, 2000, 1000),
    "methods": partial(methods, 4000),
    "power": partial(power, 2000),
    "speed": speed,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    PARTS[parser.parse_args().part]()
