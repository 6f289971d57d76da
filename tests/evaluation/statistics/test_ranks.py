"""Rank tables: order, ties, and how stable the places are."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from delineate.evaluation.statistics.ranks import rank_models
from delineate.evaluation.statistics.ties import average_ranks, average_ranks_of_many

NAN = float("nan")


def models(seed: int = 0, n: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(mean, 0.1, n) for name, mean in {"a": 0.7, "b": 0.72, "c": 0.9}.items()}


@given(arrays(float, st.integers(1, 30), elements=st.integers(-3, 3).map(float)))
def test_average_ranks_are_scipys(values):
    assert average_ranks(values) == pytest.approx(scipy.stats.rankdata(values))
    assert average_ranks_of_many(values) == pytest.approx(scipy.stats.rankdata(values))


def test_a_clear_winner_is_first_in_every_resample():
    result = rank_models(models())
    assert result.best() == "c"
    assert result.rank[2] == 1
    assert result.frequencies[2].tolist() == [1, 0, 0]
    assert 0 < result.frequencies[0, 1] < 1
    assert result.mean_rank.sum() == pytest.approx(6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_frequencies_are_shares_of_models_and_of_places(seed):
    frequencies = rank_models(models(seed, 12), resamples=500).frequencies
    assert frequencies.sum(0) == pytest.approx(1)
    assert frequencies.sum(1) == pytest.approx(1)


def test_lower_is_better_turns_the_table_round():
    higher, lower = rank_models(models()), rank_models(models(), better="lower")
    assert lower.rank == pytest.approx(4 - higher.rank)
    assert lower.frequencies == pytest.approx(higher.frequencies[:, ::-1], abs=0.02)
    assert lower.mean == pytest.approx(higher.mean)


def test_identical_models_share_places():
    scores = models()["a"]
    result = rank_models({"one": scores, "same": scores + 1e-16, "worse": scores - 0.1})
    assert result.rank.tolist() == [1.5, 1.5, 3]
    assert result.mean_rank.tolist() == [1.5, 1.5, 3]
    assert result.frequencies.tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]


def test_cases_that_a_model_lacks_are_dropped_and_counted():
    scores = models()
    scores["b"][:3] = NAN
    result = rank_models(scores)
    assert (result.n, result.dropped) == (37, 3)
    assert result.mean[0] == pytest.approx(scores["a"][3:].mean())


def test_frequencies_need_six_groups():
    groups = np.arange(40) % 5
    assert rank_models(models(), groups).frequencies is None
    assert rank_models(models(), np.arange(40) % 6).frequencies is not None


def test_the_order_of_cases_changes_nothing():
    scores, order = models(), np.random.default_rng(1).permutation(40)
    shuffled = {name: column[order] for name, column in scores.items()}
    assert rank_models(shuffled).frequencies == pytest.approx(rank_models(scores).frequencies)


@pytest.mark.parametrize("scores", [{"a": [1.0]}, {"a": [1.0], "b": [1.0, 2]}, {"a": [1.0], "b": [NAN]}])
def test_what_cannot_be_ranked_is_refused(scores):
    with pytest.raises(ValueError, match=r"ranked|every model"):
        rank_models(scores)
