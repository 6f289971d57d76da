"""What few labels gained: known answers by construction, invariances, and how often the intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from delineate.evaluation.statistics.label_gain import (
    Estimated,
    _isotonic,
    difference,
    gap_closed,
    labels_bought,
    resample,
)

NONE = np.empty(0)


def flat(value: float, draws: int = 3, cases: int = 20) -> NDArray[np.float64]:
    """The same score everywhere, but for a spread over cases that all points share."""
    return np.full((draws, cases, 1), value) + np.linspace(-0.1, 0.1, cases)[:, None]


def known(*values: float) -> list[Estimated]:
    return [Estimated(value, np.full(200, value)) for value in values]


@given(st.floats(0.1, 0.5), st.floats(0.02, 0.3), st.floats(-0.5, 1.5))
def test_the_share_is_the_one_that_was_built_in(sup: float, gap: float, share: float) -> None:
    points, (full,) = resample([flat(sup), flat(sup + share * gap)], [flat(sup + gap, 1)], resamples=500)
    found = gap_closed(points[1], points[0], full).figure
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(share, abs=1e-6)
    assert (found.low, found.high) == (pytest.approx(share, abs=1e-6), pytest.approx(share, abs=1e-6)), "paired by case"


def test_no_share_of_no_gap() -> None:
    rng = np.random.default_rng(0)
    sup, m = (rng.normal(0.7, 0.1, (3, 20, 1)) for _ in range(2))
    points, (full,) = resample([sup, m], [rng.normal(0.705, 0.1, (1, 20, 1))])
    assert gap_closed(points[1], points[0], full) == gap_closed(points[1], points[0], full)
    said = gap_closed(points[1], points[0], full)
    assert said.figure is None
    assert "not clearly below" in said.why
    few, (top,) = resample([flat(0.5, cases=5), flat(0.6, cases=5)], [flat(0.7, 1, cases=5)])
    assert gap_closed(few[1], few[0], top).why == "fewer than 6 groups of test cases"


def test_a_resample_without_a_rare_class_does_not_move() -> None:
    """Each class has one score: whichever cases are drawn, the mean stays."""
    scores = np.full((1, 60, 2), np.nan)
    scores[..., 0], scores[:, :6, 1] = 0.9, 0.1
    (point,), _ = resample([scores])
    assert point.value == pytest.approx(0.5)
    np.testing.assert_allclose(point.resamples, 0.5)


@given(st.lists(st.floats(0.01, 0.2), min_size=2, max_size=5), st.data())
def test_labels_are_read_off_a_rising_curve(rises: list[float], data: st.DataObject) -> None:
    """On log counts, halfway between two points: the geometric mean of their counts."""
    labels = [10.0 * 3**at for at in range(len(rises) + 1)]
    scores = np.cumsum([0.2, *rises])
    curve = known(*scores)
    at = data.draw(st.integers(0, len(rises) - 1))
    step = data.draw(st.integers(at, len(rises) - 1))
    part = data.draw(st.floats(0.01, 0.99))
    point = known(scores[step] + part * rises[step])[0]
    found = labels_bought(point, at, labels, curve)
    assert found.value == pytest.approx(labels[step] * 3**part - labels[at], rel=1e-6)
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)


def test_no_labels_and_more_than_all() -> None:
    labels, curve = [40.0, 160.0, 800.0], known(0.5, 0.6, 0.8)
    assert labels_bought(known(0.45)[0], 0, labels, curve).value == 0
    assert labels_bought(known(0.5)[0], 0, labels, curve).value == 0
    assert labels_bought(known(0.6)[0], 0, labels, curve).value == pytest.approx(120)
    assert labels_bought(known(0.8)[0], 1, labels, curve).value == pytest.approx(640)
    assert labels_bought(known(0.81)[0], 1, labels, curve).value == math.inf


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.data())
def test_a_training_equal_to_supervised_buys_none(scores: list[float], data: st.DataObject) -> None:
    """Also where the curve falls somewhere."""
    at = data.draw(st.integers(0, len(scores) - 1))
    labels = [2.0**one for one in range(len(scores))]
    assert labels_bought(known(scores[at])[0], at, labels, known(*scores)).value == pytest.approx(0, abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 0.5), st.floats(0, 0.5), st.data())
def test_a_better_training_buys_no_fewer(scores: list[float], small: float, more: float, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(scores) - 1))
    labels = [2.0**one for one in range(len(scores))]
    first, second = (
        labels_bought(known(scores[at] + gain)[0], at, labels, known(*scores)).value for gain in (small, small + more)
    )
    assert second >= first - 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_isotonic_regression(values: list[float]) -> None:
    smooth = _isotonic(np.array([values]))[0]
    assert (np.diff(smooth) >= -1e-12).all()
    assert smooth.sum() == pytest.approx(sum(values))
    rising = np.sort(values)
    assert _isotonic(rising[None])[0] == pytest.approx(rising)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_the_order_of_cases_and_draws_does_not_matter_for_the_means(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.random((3, 12, 2))
    table[:, rng.random(12) < 0.3, 1] = np.nan
    groups = [f"g{at // 2}" for at in range(12)]
    order = rng.permutation(12)
    (one,), _ = resample([table], groups=groups, resamples=100)
    (two,), _ = resample([table[::-1, order]], groups=[groups[at] for at in order], resamples=100)
    assert one.value == pytest.approx(two.value)
    classes = [np.nanmean(table[..., at]) for at in range(2)]
    assert one.value == pytest.approx(np.mean(classes))


def test_one_draw_knows_nothing_of_other_labels() -> None:
    rng = np.random.default_rng(1)
    several = 0.6 + 0.05 * rng.standard_normal((3, 1, 1)) + np.zeros((3, 30, 1))
    (alone,), _ = resample([several[:1]])
    (many,), _ = resample([several])
    assert np.ptp(alone.resamples) < 1e-9
    assert np.ptp(many.resamples) > 0.1


@pytest.mark.parametrize("draws", [2, 3, 5])
def test_intervals_of_a_difference_hold_the_truth(draws: int) -> None:
    """Draws and cases both by chance; the truth is 0.02."""
    rng = np.random.default_rng(draws)
    held = 0
    times = 300
    for _ in range(times):
        cases = rng.normal(0, 0.1, (1, 40, 1))
        one = 0.60 + cases + rng.normal(0, 0.02, (draws, 1, 1)) + rng.normal(0, 0.05, (draws, 40, 1))
        two = 0.62 + cases + rng.normal(0, 0.02, (draws, 1, 1)) + rng.normal(0, 0.05, (draws, 40, 1))
        points, _ = resample([one, two], resamples=400)
        found = difference(points[1], points[0]).figure()
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.02 <= found.high
    assert held / times > 0.93
