"""Power: against the noncentral t distribution, known numbers, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from delineate.evaluation.statistics.mixed import MethodClaim, Part, compare_methods
from delineate.evaluation.statistics.power import (
    groups_needed,
    groups_needed_by_methods,
    least_detectable,
    least_detectable_by_methods,
    seeds_needed,
)


def claim(seed_sd: float, case_sd: float, seeds: int = 3, cases: int = 100) -> MethodClaim:
    rng = np.random.default_rng(0)
    runs = rng.normal(0, case_sd, (2, 1, cases)) + rng.normal(0, seed_sd, (2, seeds, 1))
    result = compare_methods(*runs)
    assert isinstance(result, MethodClaim)
    return result


@pytest.mark.parametrize("groups", [2, 5, 20, 100, 5000])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_a_least_detectable_difference_has_the_power_it_names(groups, power):
    shift = least_detectable(2.0, groups, power=power) / (2 / np.sqrt(groups))
    edge = scipy.stats.t.ppf(0.975, groups - 1)
    assert scipy.stats.nct.sf(edge, groups - 1, shift) == pytest.approx(power, abs=1e-4)


def test_a_known_sample_size():
    """Effect .5, two-sided 5 %, 80 %: 34 pairs in every table of power."""
    assert groups_needed(1, 0.5) == 34


@pytest.mark.parametrize(("sd", "difference"), [(0.13, 0.01), (0.1, 0.1), (5, 0.4)])
def test_cases_needed_are_the_fewest_that_detect(sd, difference):
    needed = groups_needed(sd, difference)
    assert least_detectable(sd, needed) <= difference < least_detectable(sd, needed - 1)


def test_beyond_ten_million_cases_there_is_no_number():
    assert groups_needed(1, 1e-5) is None
    assert groups_needed(0, 0.01) == 2


def test_by_methods_without_seed_spread_it_is_the_paired_number():
    of = claim(seed_sd=0, case_sd=0.1)
    sd = np.sqrt(of.case_part.variance * 100)
    assert least_detectable_by_methods(of) == pytest.approx(least_detectable(sd, 100), rel=0.01)
    assert groups_needed_by_methods(of, 0.02) == pytest.approx(groups_needed(sd, 0.02), rel=0.01)


def test_seeds_that_blur_more_than_the_difference_are_not_mended_by_cases():
    of = claim(seed_sd=0.02, case_sd=0.02)
    assert groups_needed_by_methods(of, 0.01) is None
    needed = seeds_needed(of, 0.015)
    assert needed > 3
    assert seeds_needed(of, 0.001) is None


def test_found_as_often_as_promised():
    rng, hits = np.random.default_rng(1), 0
    shift = least_detectable(0.1, 30)
    for _ in range(1000):
        hits += scipy.stats.ttest_1samp(rng.normal(shift, 0.1, 30), 0).pvalue <= 0.05
    assert hits / 1000 == pytest.approx(0.8, abs=0.04)


def test_nothing_spreads_nothing_hides():
    of = claim(0, 0)
    assert of.seed_part == Part(0, 4)
    assert least_detectable_by_methods(of) == 0


@pytest.mark.parametrize("call", [lambda: least_detectable(1, 1), lambda: groups_needed(1, 0)])
def test_senseless_questions_are_refused(call):
    with pytest.raises(ValueError, match="needed"):
        call()
