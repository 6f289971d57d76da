"""Intervals of means: against scipy and closed forms, properties, the smallest data, a real if small check of coverage."""

from __future__ import annotations

from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import t as student

from delineate.evaluation.statistics import bootstrap
from delineate.evaluation.statistics.intervals import mean_interval

ONE_OF_SIX = 1 - betaincinv(1.5, 5.5, np.array([0.975, 0.025]))
"""Jeffreys' interval of 5 in 6."""
NAN = float("nan")


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).beta(8, 2, shape)


def ends(*args, **options) -> np.ndarray:
    interval = mean_interval(*args, **options)
    return np.array([interval.low, interval.high], dtype=float)


@pytest.mark.parametrize(
    "values", [draw(0, 60), np.random.default_rng(1).lognormal(2, 1, 40)], ids=["beta", "lognormal"]
)
def test_bca_is_scipys_within_monte_carlo_error(values):
    seed = {
        "rng" if "rng" in signature(scipy_bootstrap).parameters else "random_state": 2
    }  # its name before SciPy 1.15
    theirs = scipy_bootstrap((values,), np.mean, n_resamples=40_000, method="BCa", **seed).confidence_interval
    ours = bootstrap.bca(bootstrap.cluster(values), 0.95, 40_000, np.random.default_rng(3), expand=False)
    assert ours == pytest.approx(theirs, abs=0.03 * (theirs.high - theirs.low))


@pytest.mark.parametrize("n", [8, 19, 20, 200])
def test_normal_data_give_students_interval(n):
    values = student.ppf((np.arange(n) + 0.5) / n, 1000)
    expected = values.mean() + student.ppf([0.025, 0.975], n - 1) * values.std(ddof=1) / np.sqrt(n)
    assert ends(values) == pytest.approx(expected, abs=0.1 * np.ptp(expected))


def test_standard_error_is_the_closed_form_and_close_to_the_jackknife():
    values = draw(0, 50)
    assert bootstrap.standard_error(bootstrap.cluster(values)) == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    clusters = bootstrap.cluster(draw(0, 60, 3), np.arange(60) // np.array([1, 2, 3] * 20))
    parts = bootstrap._jackknife(clusters)
    jackknife = np.sqrt((clusters.groups - 1) * ((parts - parts.mean()) ** 2).mean())
    assert bootstrap.standard_error(clusters) == pytest.approx(jackknife, rel=0.1)


@pytest.mark.parametrize(
    ("n", "how"),
    [
        (0, "no interval: no values"),
        (1, "no interval: fewer than 6 cases"),
        (5, "no interval: fewer than 6 cases"),
        (6, "bootstrap-t over 6 cases"),
        (19, "bootstrap-t over 19 cases"),
        (20, "BCa bootstrap over 20 cases"),
    ],
)
def test_the_number_of_groups_chooses_the_method(n, how):
    found = mean_interval(draw(0, n), bounds=(0, 1))
    assert (found.n, found.groups, found.how) == (n, n, how)
    assert (found.low is None) == how.startswith("no interval")
    assert found.mean == (pytest.approx(draw(0, n).mean()) if n else None)


@pytest.mark.parametrize(
    ("values", "expected", "how"),
    [
        ([0.7] * 9, (0.7, 0.7 * 0.05 ** (1 / 9), 1 - 0.3 * 0.05 ** (1 / 9)), "bound of what 9 equal cases cannot show"),
        ([1.0] * 8, (1, 0.05 ** (1 / 8), 1), "bound of what 8 equal cases cannot show"),
        ([NAN] * 9, (None, None, None), "no interval: no values"),
        (
            [1, 1, 1, 1, 1, 0],
            (5 / 6, ONE_OF_SIX[0], ONE_OF_SIX[1]),
            "Jeffreys' interval of the share of misses over 6 cases",
        ),
        (
            [[0.7, NAN], *[[0.7, NAN]] * 7, [NAN, NAN]],
            (0.7, 0.7 * 0.05 ** (1 / 8), 1 - 0.3 * 0.05 ** (1 / 8)),
            "bound of what 8 equal cases cannot show",
        ),
    ],
    ids=["constant", "perfect", "nothing", "one failure of six", "a column without values"],
)
def test_degenerate_values(values, expected, how):
    found = mean_interval(values, bounds=(0, 1))
    assert (found.mean, found.low, found.high, found.how) == (*map(pytest.approx, expected), how)


def test_nearly_constant_values_without_a_range_have_no_interval():
    found = mean_interval([1, 1, 1, 1, 1, 0])
    assert (found.low, found.high, found.how) == (None, None, "no interval: too many equal values for 6 cases")


def test_the_scarcest_class_decides():
    values = draw(0, 40, 2)
    values[12:, 1] = NAN
    assert mean_interval(values).how == "bootstrap-t over 40 cases, a class in 12 of them"
    values[5:, 1] = NAN
    found = mean_interval(values)
    assert found.how == "no interval: a class is in fewer than 6 cases"
    assert found.mean == pytest.approx((values[:, 0].mean() + values[:5, 1].mean()) / 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 25]), st.sampled_from([1, 3]))
def test_order_and_names_of_groups_change_nothing(seed, groups, columns):
    rng = np.random.default_rng(seed)
    values, codes = rng.beta(8, 2, (3 * groups, columns)), np.repeat(np.arange(groups), 3)
    values[rng.random(values.shape) < 0.1] = NAN
    order = rng.permutation(3 * groups)
    first = mean_interval(values, codes, bounds=(0, 1))
    other = mean_interval(values[order], [f"patient {code}" for code in codes[order]], bounds=(0, 1))
    assert other.mean == pytest.approx(first.mean)
    assert (other.n, other.groups, other.how) == (first.n, first.groups, first.how)
    assert (other.low, other.high) == pytest.approx((first.low, first.high))
    assert first == mean_interval(values, codes, bounds=(0, 1)), "the same arguments give the same interval"


@pytest.mark.parametrize("groups", [10, 30])
def test_copies_of_a_group_do_not_narrow_the_interval(groups):
    values, codes = draw(0, groups), np.arange(groups)
    copied = ends(np.repeat(values, 5), np.repeat(codes, 5))
    assert copied == pytest.approx(ends(values, codes))
    assert np.ptp(ends(np.repeat(values, 5))) < 0.6 * np.ptp(copied)


def test_macro_means_weigh_classes_alike():
    values = np.array([[1, NAN], [1, NAN], [1, 0.5]])
    assert mean_interval(values).mean == pytest.approx(0.75)


@pytest.mark.parametrize("size", [30, 120_000])
def test_ends_stay_between_the_values_for_any_number_of_cases(size):
    values = draw(0, size)
    low, high = ends(values, resamples=100)
    assert values.min() < low < values.mean() < high < values.max()


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1, np.inf], {}, "finite"),
        (np.ones((2, 2, 2)), {}, "shape"),
        ([1, 2], {"groups": ["a"]}, "1 groups for 2 cases"),
        ([1, 2], {"level": 95}, "level 95"),
    ],
)
def test_senseless_arguments_are_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, **options)


@pytest.mark.parametrize(("groups", "size"), [(10, 1), (12, 4), (40, 1)])
def test_intervals_cover_the_true_mean(groups, size):
    """300 data sets of a Dice-like score whose groups share an effect; 95 % ± 3.5 % (about three standard errors)."""
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(300):
        means = rng.beta(8, 2, (groups, 1))
        values = rng.beta(20 * means, 20 * (1 - means), (groups, size)).ravel()
        found = mean_interval(values, np.repeat(np.arange(groups), size), resamples=600, seed=seed)
        hits += found.low <= 0.8 <= found.high
    assert hits / 300 == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize(("groups", "size"), [(10, 1), (20, 1), (40, 1), (12, 4)])
@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
def test_rare_misses_are_covered_also_where_the_sample_has_none(groups, size, share):
    """A good model, Beta(30, 2), that misses a few cases. Three standard errors."""
    rng = np.random.default_rng(groups)
    hits = 0
    for seed in range(200):
        values = rng.beta(30, 2, (groups, size))
        values[rng.random((groups, size)) < share] = 0
        found = mean_interval(
            values.ravel(), np.repeat(np.arange(groups), size), resamples=200, seed=seed, bounds=(0, 1)
        )
        hits += found.low <= 30 / 32 * (1 - share) <= found.high
    assert hits / 200 >= 0.905


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 0.9, 1.0]), min_size=6, max_size=30), st.integers(1, 3), st.integers(1, 3))
def test_an_interval_of_scores_has_a_width_and_holds_the_mean(scores, columns, members):
    values = np.stack([np.roll(scores, at) for at in range(columns)], axis=1)
    codes = np.arange(len(scores)) // members
    found = mean_interval(values, codes, bounds=(0, 1), resamples=200)
    if len(set(codes)) < 6:
        assert found.low is None
        return
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.high - found.low > 0.01, "a point is no interval"


def test_without_spread_and_without_a_range_there_is_no_interval():
    found = mean_interval([3.0] * 8)
    assert (found.mean, found.low, found.high, found.how) == (3, None, None, "no interval: no spread over 8 cases")


def test_more_equal_cases_leave_less_room_for_what_was_not_seen():
    widths = [np.ptp(ends(np.ones(n), bounds=(0, 1))) for n in (6, 20, 100)]
    assert widths == pytest.approx([1 - 0.05 ** (1 / n) for n in (6, 20, 100)])
