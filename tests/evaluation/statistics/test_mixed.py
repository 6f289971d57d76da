"""Claims about methods: closed forms at the edges, symmetry, and false positives where case-paired tests fail."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from delineate.evaluation.statistics.mixed import MethodClaim, NoClaim, Part, compare_methods, critical
from delineate.evaluation.statistics.paired import wilcoxon

NAN = float("nan")


def methods(rng, *seeds: int, seed_sd: float = 0.01, cases: int = 100) -> list[np.ndarray]:
    """Scores of methods that do not differ: case sd .15, case×method sd .08."""
    case = rng.normal(0.8, 0.15, cases)
    return [case + rng.normal(0, 0.08, cases) + rng.normal(0, seed_sd, (count, 1)) for count in seeds]


def test_seed_spread_alone_is_welchs_test():
    one, two = np.array([0.80, 0.82, 0.83]), np.array([0.78, 0.79, 0.77, 0.79])
    claim = compare_methods(one[:, None] + np.zeros(30), two[:, None] + np.zeros(30))
    welch = scipy.stats.ttest_ind(one, two, equal_var=False)
    assert claim.p == pytest.approx(welch.pvalue)
    assert (claim.difference.low, claim.difference.high) == pytest.approx(welch.confidence_interval())
    assert claim.seed_sd == pytest.approx((one.std(ddof=1), two.std(ddof=1)))
    assert claim.case_part.variance == pytest.approx(0)


def test_case_spread_alone_is_the_paired_t_test():
    one, two = methods(np.random.default_rng(0), 2, 3, seed_sd=0)
    claim = compare_methods(one, two)
    student = scipy.stats.ttest_rel(one[0], two[0])
    assert claim.p == pytest.approx(student.pvalue)
    assert (claim.difference.low, claim.difference.high) == pytest.approx(student.confidence_interval())
    assert claim.case_sd == pytest.approx((one[0].std(ddof=1), two[0].std(ddof=1)))


def test_both_spreads_together_are_wider_than_either():
    claim = compare_methods(*methods(np.random.default_rng(1), 3, 3))
    reach = claim.difference.high - claim.difference.mean
    for part in (claim.seed_part, claim.case_part):
        assert reach > np.sqrt(part.variance) * scipy.stats.t.ppf(0.975, 100)
    error = np.sqrt(claim.seed_part.variance + claim.case_part.variance)
    assert critical(claim.p, claim.seed_part, claim.case_part) == pytest.approx(abs(claim.difference.mean) / error)


@pytest.mark.parametrize("shift", [1e-9, 0.005, 0.5, 50])
@pytest.mark.parametrize("seed_sd", [0, 1e-18, 1e-4, 0.01])
def test_p_is_a_probability_that_falls_with_the_difference(seed_sd, shift):
    one, two = methods(np.random.default_rng(7), 3, 3, seed_sd=seed_sd)
    two += one.mean() - two.mean()
    assert 0 <= compare_methods(one, two + 1.5 * shift).p < compare_methods(one, two + shift).p <= 1


def test_critical_value_lies_between_the_parts():
    few, many = Part(1, 2), Part(1, 200)
    assert critical(0.05, few) == pytest.approx(4.3027, abs=1e-3)
    assert critical(0.05, few, many) == pytest.approx((4.3027 + 1.9719) / 2, abs=1e-3)


def test_swapping_the_methods_flips_the_signs():
    one, two = methods(np.random.default_rng(2), 3, 4)
    there, back = compare_methods(one, two), compare_methods(two, one)
    assert (there.difference.mean, there.p) == pytest.approx((-back.difference.mean, back.p))
    assert there.difference.low == pytest.approx(-back.difference.high)


def test_the_order_of_seeds_and_cases_changes_nothing():
    rng = np.random.default_rng(3)
    one, two = methods(rng, 3, 4)
    groups, order = np.arange(100) // 4, rng.permutation(100)
    there = compare_methods(one, two, groups)
    again = compare_methods(one[::-1][:, order], two[::-1][:, order], groups[order])
    assert (again.p, again.difference.low) == pytest.approx((there.p, there.difference.low))


def test_copies_of_a_group_do_not_narrow_the_interval():
    one, two = methods(np.random.default_rng(4), 3, 3)
    few = compare_methods(one, two)
    many = compare_methods(np.repeat(one, 5, 1), np.repeat(two, 5, 1), np.repeat(np.arange(100), 5))
    assert many.difference.low == pytest.approx(few.difference.low)
    assert (many.difference.n, many.difference.groups) == (500, 100)


def test_cases_without_a_score_in_any_run_are_dropped_and_counted():
    one, two = methods(np.random.default_rng(5), 3, 3)
    expected = compare_methods(one[:, 2:], two[:, 2:])
    one[0, 0] = two[2, 1] = NAN
    found = compare_methods(one, two)
    assert (found.dropped, found.difference.n) == (2, 98)
    assert found.p == pytest.approx(expected.p)


@pytest.mark.parametrize(
    ("seeds", "cases", "reason"), [((1, 3), 50, "these two trained models"), ((3, 3), 5, "fewer than 6 cases")]
)
def test_too_little_gives_no_claim(seeds, cases, reason):
    result = compare_methods(*methods(np.random.default_rng(0), *seeds, cases=cases))
    assert isinstance(result, NoClaim)
    assert reason in result.reason


def test_identical_methods_are_not_significant():
    one, _ = methods(np.random.default_rng(0), 3, 3)
    assert compare_methods(one, one).p == 1
    constant = np.full((3, 20), 0.5)
    assert compare_methods(constant, constant).p == 1


def test_senseless_shapes_are_refused():
    with pytest.raises(ValueError, match="seeds×cases"):
        compare_methods(np.ones((3, 4)), np.ones((3, 5)))


@pytest.mark.parametrize("seeds", [(3, 3), (5, 5), (3, 5)])
def test_false_positives_are_bounded_where_those_of_a_paired_test_are_not(seeds):
    """1200 pairs of equal methods whose seeds spread by .01; 5.5 % and two standard errors."""
    rng = np.random.default_rng(6)
    claims = paired = 0
    for _ in range(1200):
        one, two = methods(rng, *seeds)
        claim = compare_methods(one, two)
        assert isinstance(claim, MethodClaim)
        claims += claim.p <= 0.05
        paired += wilcoxon(one[0] - two[0]) <= 0.05
    assert claims / 1200 < 0.055 + 0.013
    assert paired / 1200 > 0.15
