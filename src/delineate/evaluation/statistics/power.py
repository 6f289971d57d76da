"""What a comparison could have seen: the least detectable difference, and how many cases or seeds a given one needs.

Two-sided tests at level `alpha`; a difference is detectable when it is found with probability `power`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import nctdtrinc, stdtrit

from delineate.evaluation.statistics.mixed import MethodClaim, Part, critical, seed_part

__all__ = [
    "groups_needed",
    "groups_needed_by_methods",
    "least_detectable",
    "least_detectable_by_methods",
    "seeds_needed",
]

_MOST = 10_000_000
"""More groups or seeds are not thought about."""


def least_detectable(sd: float, groups: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Least detectable mean difference of a paired comparison: noncentrality × sd / √groups, by the noncentral t distribution.

    `sd`: standard deviation of the groups' differences (`Paired.sd`), in whose unit the result is. At least two groups.
    """
    if groups < 2 or sd < 0:
        raise ValueError(f"at least two groups and a spread from 0 on are needed, not {groups} and {sd}")
    freedom = groups - 1
    return float(nctdtrinc(freedom, 1 - power, stdtrit(freedom, 1 - alpha / 2))) * sd / groups**0.5


def groups_needed(sd: float, difference: float, *, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """The fewest groups (at least 2) with which `difference` is detectable; None beyond ten millions."""
    return _fewest(lambda groups: least_detectable(sd, groups, power=power, alpha=alpha), difference)


def least_detectable_by_methods(claim: MethodClaim, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Least detectable difference between the methods with the seeds and cases of `claim`.

    (critical value + the t quantiles of the power) × standard error; both weighted as in `mixed`, an approximation.
    """
    return _detectable((claim.seed_part, claim.case_part), power, alpha)


def groups_needed_by_methods(
    claim: MethodClaim, difference: float, *, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """The fewest groups for `difference` with the same numbers of seeds; None where the seeds alone blur it."""
    per_group = claim.case_part.variance * claim.difference.groups

    def least(groups: int) -> float:
        return _detectable((claim.seed_part, Part(per_group / groups, groups - 1)), power, alpha)

    return _fewest(least, difference)


def seeds_needed(claim: MethodClaim, difference: float, *, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """The fewest seeds of each method for `difference` on the same cases; None where the cases alone blur it."""
    variances = (claim.seed_sd[0] ** 2, claim.seed_sd[1] ** 2)

    def least(seeds: int) -> float:
        return _detectable((seed_part(variances, (seeds, seeds)), claim.case_part), power, alpha)

    return _fewest(least, difference)


def _detectable(parts: tuple[Part, Part], power: float, alpha: float) -> float:
    variance = sum(part.variance for part in parts)
    if variance == 0:
        return 0.0
    reach = critical(alpha, *parts) + critical(2 * (1 - power), *parts)
    return float(np.sqrt(variance)) * reach


def _fewest(least: Callable[[int], float], difference: float) -> int | None:
    """The smallest number from 2 on whose least detectable difference is not above `difference`; it falls with the number."""
    if difference <= 0:
        raise ValueError(f"a difference above 0 is needed, not {difference}")
    if least(_MOST) > difference:
        return None
    low, high = 1, _MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if least(middle) <= difference else (middle, high)
    return high
