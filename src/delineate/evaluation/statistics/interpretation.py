"""What can be concluded from the results, in sentences.

Pure functions from results to text. A comparison that is not significant is never called equality; one trained model of each method
is never called the method. Intervals of differences are taken to be at 95 %, as `compare` and `compare_methods` make them; they
are not corrected for the number of comparisons.
"""

from __future__ import annotations

import math

from delineate.evaluation.statistics.intervals import FEWEST, MANY, Interval
from delineate.evaluation.statistics.mixed import MethodClaim, NoClaim
from delineate.evaluation.statistics.paired import Better, Paired
from delineate.evaluation.statistics.power import (
    groups_needed,
    groups_needed_by_methods,
    least_detectable,
    least_detectable_by_methods,
    seeds_needed,
)
from delineate.evaluation.statistics.ranks import Ranks

__all__ = [
    "interval_words",
    "method_words",
    "number",
    "paired_words",
    "rank_words",
    "rounded",
]

_STABLE = 0.975
"""A first place is stable from this share of resamples on, which answers to a two-sided test at 5 %."""


def interval_words(interval: Interval, *, level: float = 0.95) -> str:
    """ "0.812 (95 % interval 0.790 to 0.832; n = 100)", or why there is no interval."""
    if interval.mean is None:
        return "no score (n = 0)"
    grouped = f", {interval.groups} groups" if interval.groups < interval.n else ""
    counts = f"n = {interval.n}{grouped}"
    if interval.low is None or interval.high is None:
        return f"{number(interval.mean)} ({interval.how}; {counts})"
    return f"{number(interval.mean)} ({_range(interval, level)}; {counts})"


def paired_words(
    result: Paired,
    first: str,
    second: str,
    *,
    score: str = "the score",
    adjusted_p: float | None = None,
    comparisons: int = 1,
    target: float = 0.01,
    alpha: float = 0.05,
    reach: float = math.inf,
) -> str:
    """The reading of `compare_paired(first, second)` about two trained models, for a test at level `alpha`.

    `adjusted_p`: the permutation test's p after Holm, over `comparisons` comparisons. `target`: a difference worth seeing, in the
    unit of the score, for which the number of cases needed is told. `reach`: the largest difference that two scores can have.
    """
    if result.permutation_p is None:
        return f"{first} and {second} cannot be compared: there is no case that both have a score for."
    if result.equal == result.difference.n:
        lost = f" {_left_out(result.dropped, 'both')}" if result.dropped else ""
        where = "the one case" if result.equal == 1 else f"all {result.equal} cases"
        where += " that both have a score for" if result.dropped else ""
        return f"These two trained models, {first} and {second}, score exactly alike on {where}.{lost}"
    p = result.permutation_p if adjusted_p is None else adjusted_p
    said = [_paired_verdict(result, first, second, score, p, comparisons, alpha)]
    if p > alpha:
        said += [_not_equality(result.difference, reach), _what_it_takes(result, target, alpha, reach)]
    said += [_paired_counts(result, first, second), _paired_warnings(result, alpha)]
    if p <= alpha:
        said.append(
            "This is a result about these two trained models; to compare the methods, train several seeds of each."
        )
    return " ".join(part for part in said if part)


def method_words(
    result: MethodClaim | NoClaim,
    first: str,
    second: str,
    *,
    score: str = "the score",
    better: Better = "higher",
    adjusted_p: float | None = None,
    comparisons: int = 1,
    target: float = 0.01,
    alpha: float = 0.05,
    reach: float = math.inf,
) -> str:
    """The reading of `mixed.compare_methods(first, second)`; `better`: which scores are good; the rest as in `paired_words`."""
    if isinstance(result, NoClaim):
        return f"No claim about the methods {first} and {second} can be made: {result.reason}."
    p = result.p if adjusted_p is None else adjusted_p
    place = f"with {result.seeds[0]} and {result.seeds[1]} seeds and n = {result.difference.n}"
    found = f"{_difference(result.difference)}; {_p(p, comparisons)}"
    if p <= alpha:
        ahead = _ahead(result.difference, first, second, better)
        said = [f"The method {ahead[0]} scores better in {score} than {ahead[1]} {place}: {found}."]
    else:
        said = [f"The methods {first} and {second} cannot be told apart in {score} {place}: {found}."]
        said += [_not_equality(result.difference, reach), _what_methods_take(result, target, alpha, reach)]
    said += [_spreads(result, first, second), _method_warnings(result)]
    return " ".join(part for part in said if part)


def rank_words(result: Ranks) -> str:
    """How stable the first place is."""
    best = result.best()
    index = result.names.index(best)
    start = f"{best} has the best mean of {len(result.names)} models at n = {result.n}"
    tied = [name for name, rank in zip(result.names, result.rank, strict=True) if rank == result.rank[index]]
    if len(tied) > 1:
        start = f"{' and '.join(tied)} share the best mean of {len(result.names)} models at n = {result.n}"
    lost = f" {_left_out(result.dropped, 'all models')}" if result.dropped else ""
    if result.frequencies is None:
        return f"{start}; fewer than {FEWEST} groups are too few to say how stable that is.{lost}"
    share = float(result.frequencies[index, 0])
    stable = "stable" if share >= _STABLE else "not stable: with other cases like these it may be another"
    first = "is" if len(tied) == 1 else f"{best} is"
    return f"{start}, and {first} first in {_percent(share)} of the resamples: the place is {stable}.{lost}"


def number(value: float) -> str:
    """Three decimals for scores, fewer for large values, two digits for tiny ones; a true minus sign."""
    size = abs(value)
    if size >= 100:
        text = f"{size:.0f}"
    elif size >= 10:
        text = f"{size:.1f}"
    elif size >= 0.0005 or size == 0:
        text = f"{size:.3f}"
    else:
        text = f"{size:.2g}"
    return f"−{text}" if value < 0 and float(text) else text


def rounded(count: int) -> str:
    """A count to two digits: 1387 → "1400"."""
    digits = max(0, len(str(count)) - 2)
    return str(round(count, -digits))


def _paired_verdict(
    result: Paired,
    first: str,
    second: str,
    score: str,
    p: float,
    comparisons: int,
    alpha: float,
) -> str:
    found = f"{_difference(result.difference)}; {_p(p, comparisons)}"
    size = _sample(result.difference)
    if p > alpha:
        return f"These two trained models, {first} and {second}, cannot be told apart in {score} at {size}: {found}."
    ahead = _ahead(result.difference, first, second, result.better)
    return f"Of these two trained models {ahead[0]} scores better in {score} than {ahead[1]} at {size}: {found}."


def _not_equality(difference: Interval, reach: float) -> str:
    """What the interval still admits."""
    if difference.low is None or difference.high is None:
        return "That is no evidence that they are equal."
    widest = max(abs(difference.low), abs(difference.high))
    if widest >= reach:
        return "That is no evidence that they are equal: any difference would still be in the interval."
    return f"That is no evidence that they are equal: a difference of {number(widest)} would still be in the interval."


def _what_it_takes(result: Paired, target: float, alpha: float, reach: float) -> str:
    """The least detectable difference, and the cases that the target needs."""
    if not result.sd:
        return ""
    difference = result.difference
    least = least_detectable(result.sd, difference.groups, alpha=alpha)
    groups = groups_needed(result.sd, target, alpha=alpha)
    here = f"the least detectable here is {number(least)}" if least <= reach else "here none can be"
    with_power = f"(80 % power, {_percent(alpha)} level; {here})"
    return f"To see a difference of {target:g} you would need {_cases(groups, difference)} {with_power}."


def _what_methods_take(result: MethodClaim, target: float, alpha: float, reach: float) -> str:
    least = least_detectable_by_methods(result, alpha=alpha)
    groups = groups_needed_by_methods(result, target, alpha=alpha)
    seeds = seeds_needed(result, target, alpha=alpha)
    start = f"The least detectable difference is {number(least)} (80 % power, {_percent(alpha)} level)."
    if least > reach:
        start = (
            "With so few seeds and cases no difference that two scores can have would be found "
            f"(80 % power, {_percent(alpha)} level)."
        )
    if least <= target:
        return start
    if groups is not None:
        return f"{start} To see {target:g} with as many seeds you would need {_cases(groups, result.difference)}."
    if seeds is not None:
        return (
            f"{start} No number of cases shows {target:g} with so few seeds; with {seeds} seeds of each these cases do."
        )
    return f"{start} To see {target:g} you would need both more seeds and more cases."


def _paired_counts(result: Paired, first: str, second: str) -> str:
    ahead, equal = result.first_better, result.equal
    counts = f"{first} is better on {ahead} {'case' if ahead == 1 else 'cases'}, {second} on {result.second_better}"
    counts += f", {equal} {'is' if equal == 1 else 'are'} equal"
    effects = [("rank-biserial correlation", result.rank_biserial), ("d_z", result.d_z)]
    named = [f"{name} {_two(value)}" for name, value in effects if value is not None]
    return f"{counts} ({', '.join(named)})." if named else f"{counts}."


def _paired_warnings(result: Paired, alpha: float) -> str:
    groups, said = result.difference.groups, []
    if result.dropped:
        said.append(_left_out(result.dropped, "both"))
    if result.least_p > alpha:
        said.append(
            f"So few groups differ that no outcome could have been significant (least p {_two(result.least_p)})."
        )
    elif groups < FEWEST:
        said.append(f"Fewer than {FEWEST} groups: there is no interval, and the test says little.")
    elif groups < MANY:
        said.append(f"With {groups} groups, interval and tests are rough.")
    ranked = result.wilcoxon_p
    if ranked is not None and result.permutation_p is not None and (ranked <= alpha) != (result.permutation_p <= alpha):
        said.append(
            f"The Wilcoxon test (p {_equals(ranked)}) disagrees with the test of the mean: look at the cases, "
            "a few may carry the mean."
        )
    return " ".join(said)


def _spreads(result: MethodClaim, first: str, second: str) -> str:
    """Seed spread apart from case spread."""
    seeds, cases = [number(sd) for sd in result.seed_sd], [number(sd) for sd in result.case_sd]
    return (
        f"Retraining moves the mean by a standard deviation of {seeds[0]} ({first}) and {seeds[1]} ({second}); "
        f"from case to case the score spreads by {cases[0]} and {cases[1]}."
    )


def _method_warnings(result: MethodClaim) -> str:
    said = []
    if min(result.seed_sd) < 1e-9 * max(result.case_sd):
        said.append("Seeds of a method have exactly the same mean: are they copies of one run?")
    if min(result.seeds) == 2:
        said.append("Two seeds say little about the spread between seeds; three or more are advised.")
    if result.dropped:
        said.append(_left_out(result.dropped, "all runs"))
    return " ".join(said)


def _left_out(count: int, who: str) -> str:
    cases = "1 case is" if count == 1 else f"{count} cases are"
    return f"{cases} left out, because not {who} have a score there."


def _ahead(difference: Interval, first: str, second: str, better: Better) -> tuple[str, str]:
    """The better and the other."""
    above = (difference.mean or 0) > 0
    return (first, second) if above == (better == "higher") else (second, first)


def _difference(difference: Interval) -> str:
    mean = number(difference.mean or 0)
    if difference.low is None or difference.high is None:
        return f"difference {mean} ({difference.how})"
    return f"difference {mean} ({_range(difference, 0.95)})"


def _range(interval: Interval, level: float) -> str:
    return f"{_percent(level)} interval {number(interval.low or 0)} to {number(interval.high or 0)}"


def _sample(interval: Interval) -> str:
    unit = "group" if interval.groups == 1 else "groups"
    grouped = f" in {interval.groups} {unit}" if interval.groups < interval.n else ""
    return f"n = {interval.n}{grouped}"


def _cases(groups: int | None, interval: Interval) -> str:
    """The number of cases that so many groups hold, if they are as large as these."""
    if groups is None:
        return "more than ten million cases"
    cases = round(groups * interval.n / interval.groups)
    return f"about {rounded(cases)} cases" + (f" in {rounded(groups)} groups" if interval.groups < interval.n else "")


def _p(p: float, comparisons: int) -> str:
    return f"p {_equals(p)}" + (f" after Holm over {comparisons} comparisons" if comparisons > 1 else "")


def _equals(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
