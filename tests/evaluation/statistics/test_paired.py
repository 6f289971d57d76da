"""Paired comparison: tests against scipy and enumeration, Holm's textbook numbers, symmetry."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.evaluation.statistics.paired import compare_paired, holm, permutation, rank_biserial, wilcoxon

NAN = float("nan")


def pair(seed: int, n: int, shift: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.beta(8, 2, n)
    return first, np.clip(first - shift + rng.normal(0, 0.05, n), 0, 1)


@pytest.mark.parametrize("n", [5, 12, 40])
def test_signed_ranks_are_scipys_exact_ones_without_ties(n):
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    assert wilcoxon(differences) == pytest.approx(scipy.stats.wilcoxon(differences, method="exact").pvalue)


def test_many_signed_ranks_with_zeros_and_ties_are_scipys_normal_approximation():
    differences = np.random.default_rng(0).integers(-4, 6, 300).astype(float)
    theirs = scipy.stats.wilcoxon(differences, zero_method="pratt", correction=False, method="approx").pvalue
    assert wilcoxon(differences) == pytest.approx(theirs)


def test_few_signed_ranks_with_zeros_and_ties_are_enumerated():
    differences = np.array([0, 0, 1, 1, -1, 2, 3, 3, -2, 5.0])
    ranks = scipy.stats.rankdata(np.abs(differences))[differences != 0]
    sums = np.array([np.dot(signs, ranks) for signs in product([-1, 1], repeat=len(ranks))])
    found = np.dot(np.sign(differences[differences != 0]), ranks)
    assert wilcoxon(differences) == pytest.approx((np.abs(sums) >= abs(found)).mean())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_exact_permutation_is_enumeration(values):
    sums = np.array(values, dtype=float)
    totals = np.array([np.dot(signs, sums) for signs in product([-1, 1], repeat=len(sums))])
    p, _ = permutation(sums)
    assert p == pytest.approx((np.abs(totals) >= abs(sums.sum())).mean())


def test_drawn_permutation_is_close_to_the_exact_one_and_never_zero():
    sums = np.random.default_rng(0).normal(0.35, 1, 18)
    totals = np.array(list(product([-1, 1], repeat=18))) @ sums
    p, how = permutation(sums, draws=20_000)
    assert how == "20000 random sign patterns"
    assert p == pytest.approx((np.abs(totals) >= abs(sums.sum()) - 1e-9).mean(), abs=0.01)
    assert permutation(np.ones(50), draws=999)[0] == 0.001


def test_holm_on_a_textbook_example():
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.04, NAN, 0.03]) == pytest.approx([0.06, NAN, 0.06], nan_ok=True)
    assert holm([0.7, 0.8]).max() == 1
    assert holm([]).shape == (0,)


def test_scores_that_differ_by_rounding_only_are_equal():
    result = compare_paired([0.8, 0.9, 0.5, 0.1 + 0.2], [0.7, 0.8, 0.5, 0.3])
    assert (result.first_better, result.second_better, result.equal) == (2, 0, 2)
    assert result.wilcoxon_p == result.permutation_p == 0.5, "two ties of two: one pattern of signs in two"


def test_what_is_reported():
    first, second = pair(1, 30)
    first[3] = second[7] = NAN
    result = compare_paired(first, second, bounds=(0, 1))
    both = first - second
    assert result.difference.mean == pytest.approx(np.nanmean(both))
    assert (result.difference.n, result.dropped) == (28, 2)
    assert result.sd == pytest.approx(np.nanstd(both, ddof=1))
    assert result.d_z == pytest.approx(np.nanmean(both) / np.nanstd(both, ddof=1))
    assert result.first_better + result.second_better + result.equal == 28
    assert result.least_p == 0.5**27


def test_lower_is_better_turns_counts_but_not_signs():
    first, second = pair(1, 30)
    higher, lower = compare_paired(first, second), compare_paired(first, second, better="lower")
    assert (lower.first_better, lower.second_better) == (higher.second_better, higher.first_better)
    assert lower.difference == higher.difference
    assert lower.rank_biserial == higher.rank_biserial > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([9, 40]))
def test_swapping_the_models_flips_the_signs(seed, n):
    first, second = pair(seed, n)
    one, other = compare_paired(first, second), compare_paired(second, first)
    assert one.difference.mean == pytest.approx(-other.difference.mean)
    assert one.rank_biserial == pytest.approx(-other.rank_biserial)
    assert one.d_z == pytest.approx(-other.d_z)
    assert (one.first_better, one.second_better) == (other.second_better, other.first_better)
    assert one.wilcoxon_p == pytest.approx(other.wilcoxon_p)
    assert one.permutation_p == pytest.approx(other.permutation_p, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_cases_changes_nothing(seed):
    first, second = pair(seed, 24)
    groups, order = np.arange(24) // 2, np.random.default_rng(seed).permutation(24)
    one, other = compare_paired(first, second, groups), compare_paired(first[order], second[order], groups[order])
    assert other.difference.low == pytest.approx(one.difference.low)
    assert other.wilcoxon_p == pytest.approx(one.wilcoxon_p)
    assert other.permutation_p == pytest.approx(one.permutation_p)


def test_copied_cases_in_their_group_bring_no_significance():
    first, second = pair(3, 16)
    groups = np.arange(16)
    one = compare_paired(first, second, groups)
    many = compare_paired(np.repeat(first, 9), np.repeat(second, 9), np.repeat(groups, 9))
    assert many.wilcoxon_p == pytest.approx(one.wilcoxon_p)
    assert many.permutation_p == pytest.approx(one.permutation_p, abs=1e-9)
    assert many.sd == pytest.approx(one.sd)
    assert compare_paired(np.repeat(first, 9), np.repeat(second, 9)).wilcoxon_p < one.wilcoxon_p


@pytest.mark.parametrize(
    ("first", "second", "p", "least"),
    [([], [], None, 1), ([NAN], [0.5], None, 1), ([0.5], [0.6], 1, 1), ([0.5] * 8, [0.5] * 8, 1, 1)],
    ids=["nothing", "no pair", "one case", "identical"],
)
def test_degenerate_pairs(first, second, p, least):
    result = compare_paired(first, second)
    assert (result.wilcoxon_p, result.permutation_p, result.least_p, result.d_z) == (p, p, least, None)


def test_always_better_is_an_effect_of_one():
    assert rank_biserial(np.array([1.0, 2, 3])) == 1
    assert rank_biserial(np.array([0.0, -2, 2])) == 0
    assert rank_biserial(np.zeros(3)) is None


@pytest.mark.parametrize(("first", "second"), [([1, 2], [1]), ([[1, 2]], [[1, 2]]), ([np.inf], [np.inf])])
def test_senseless_vectors_are_refused(first, second):
    with pytest.raises(ValueError, match=r"compared|finite"):
        compare_paired(first, second)
