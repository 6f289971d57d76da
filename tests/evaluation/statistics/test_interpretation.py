"""The critical reading: right verdict, honest about what it does not show, warnings where they are due."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.evaluation.statistics.interpretation import (
    interval_words,
    method_words,
    number,
    paired_words,
    rank_words,
    rounded,
)
from delineate.evaluation.statistics.intervals import mean_interval
from delineate.evaluation.statistics.mixed import compare_methods
from delineate.evaluation.statistics.paired import Better, Paired, compare_paired
from delineate.evaluation.statistics.ranks import rank_models

NAN = float("nan")


def paired(n: int, shift: float, better: Better = "higher") -> Paired:
    """A comparison with exactly this mean difference and nearly this spread."""
    noise = np.random.default_rng(n).normal(0, 0.1, n)
    return compare_paired(0.5 + shift + noise - noise.mean(), np.full(n, 0.5), better=better, bounds=(0, 1))


def methods(seeds: int, shift: float, seed_sd: float = 0.01):
    rng = np.random.default_rng(seeds)
    case = rng.normal(0.8, 0.15, 100)
    one, two = (case + rng.normal(0, 0.05, 100) + rng.normal(0, seed_sd, (seeds, 1)) for _ in range(2))
    return compare_methods(one - one.mean() + shift, two - two.mean())


def test_no_difference_found_is_not_equality():
    said = paired_words(paired(100, 0.001), "A", "B", score="Dice")
    assert said.startswith(
        "These two trained models, A and B, cannot be told apart in Dice at n = 100: difference 0.001"
    )
    assert "no evidence that they are equal" in said
    assert re.search(r"To see a difference of 0\.01 you would need about \d+ cases \(80 % power, 5 % level", said)


def test_cases_needed_are_those_of_the_power_calculation():
    exact = np.tile([0.634, 0.366], 50)
    said = paired_words(compare_paired(exact, np.full(100, 0.5)), "A", "B")
    assert "about 1400 cases" in said, "sd .1347: (1.96 + .84)² · (.1347 / .01)² = 1424"


@pytest.mark.parametrize(
    ("shift", "better", "ahead"), [(0.1, "higher", "A"), (-0.1, "higher", "B"), (0.1, "lower", "B")]
)
def test_a_finding_names_the_better_model_and_its_limits(shift, better, ahead):
    said = paired_words(paired(100, shift, better), "A", "B")
    other = {"A": "B", "B": "A"}[ahead]
    assert said.startswith(f"Of these two trained models {ahead} scores better in the score than {other} at n = 100")
    assert said.endswith("to compare the methods, train several seeds of each.")
    assert "equal:" not in said


def test_the_adjusted_p_decides():
    said = paired_words(paired(100, 0.1), "A", "B", adjusted_p=0.2, comparisons=10)
    assert "cannot be told apart" in said
    assert "p = 0.20 after Holm over 10 comparisons" in said


@pytest.mark.parametrize(
    ("n", "warning"),
    [
        (5, "no outcome could have been significant (least p 0.06)"),
        (12, "With 12 groups, interval and tests are rough."),
    ],
)
def test_few_groups_are_warned_of(n, warning):
    assert warning in paired_words(paired(n, 0.1), "A", "B")


def test_tests_at_odds_and_dropped_cases_are_told():
    first = np.r_[np.full(30, 0.51), 0.0, 0.0, NAN]
    said = paired_words(compare_paired(first, np.full(33, 0.5)), "A", "B")
    assert "The Wilcoxon test (p < 0.001) disagrees" in said
    assert "1 case is left out" in said


def test_without_pairs_or_differences_there_is_one_plain_sentence():
    assert "cannot be compared" in paired_words(compare_paired([NAN], [1.0]), "A", "B")
    assert paired_words(compare_paired([0.5] * 8, [0.5] * 8), "A", "B").endswith("score exactly alike on all 8 cases.")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.floats(-0.3, 0.3), st.sampled_from([1, 3]))
def test_one_model_each_is_never_called_the_method(n, shift, size):
    groups = np.arange(n) // size
    noise = np.random.default_rng(n).normal(0, 0.1, n)
    said = paired_words(compare_paired(0.5 + shift + noise, np.full(n, 0.5), groups, resamples=200), "A", "B")
    assert "these two trained models" in said.lower()
    assert "The method" not in said
    assert "nan" not in said
    assert "None" not in said


@pytest.mark.parametrize(
    ("seeds", "shift", "seed_sd", "expected"),
    [
        (3, 0.1, 0.01, "The method A scores better in the score than B with 3 and 3 seeds and n = 100"),
        (3, 0.0, 0.001, "with as many seeds you would need about"),
        (3, 0.0, 0.03, "you would need both more seeds and more cases"),
        (2, 0.1, 0.01, "Two seeds say little"),
        (3, 0.1, 0.0, "are they copies of one run?"),
        (3, 0.0, 0.01, "Retraining moves the mean by a standard deviation of 0.0"),
    ],
)
def test_claims_about_methods(seeds, shift, seed_sd, expected):
    assert expected in method_words(methods(seeds, shift, seed_sd), "A", "B", target=0.005)


def test_one_seed_allows_no_claim():
    said = method_words(methods(1, 0.1), "A", "B")
    assert said.startswith("No claim about the methods A and B can be made")
    assert "these two trained models" in said


def test_how_firm_the_first_place_is():
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 40))
    clear = rank_words(rank_models({"A": 0.5 + noise[0], "B": 0.9 + noise[1]}))
    assert (
        clear
        == "B has the best mean of 2 models at n = 40, and is first in 100 % of the resamples: the place is stable."
    )
    assert "not stable" in rank_words(rank_models({"A": noise[0], "B": noise[1]}))
    assert "A and B share the best mean" in rank_words(rank_models({"A": noise[0], "B": noise[0]}))
    assert "too few to say" in rank_words(rank_models({"A": [1.0, 2], "B": [1.0, 3]}))


def test_means_with_their_interval():
    assert interval_words(mean_interval([])) == "no score (n = 0)"
    assert interval_words(mean_interval([0.5, 0.7])) == "0.600 (no interval: fewer than 6 cases; n = 2)"
    said = interval_words(mean_interval(np.arange(60) / 60, np.arange(60) // 2))
    assert re.fullmatch(r"0\.492 \(95 % interval 0\.\d{3} to 0\.\d{3}; n = 60, 30 groups\)", said)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8124, "0.812"), (-0.02, "−0.020"), (0, "0.000"), (23.456, "23.5"), (1234.5, "1234"), (0.00012, "0.00012")],
)
def test_numbers_have_sensible_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("count", "text"), [(7, "7"), (99, "99"), (1387, "1400"), (12345, "12000")])
def test_counts_are_rounded_to_two_digits(count, text):
    assert rounded(count) == text
