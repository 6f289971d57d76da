"""Choosing among candidates: what each rule takes, and what it must leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from delineate.studies.suggest.choose import Candidates, choose


def line(*places: float, covered: tuple[float, ...] = (), **changes: Any) -> Candidates:
    """Candidates on a line, equal in doubt."""
    given = {
        "doubt": np.ones(len(places)),
        "features": np.array(places, float)[:, None],
        "covered": np.array(covered, float)[:, None],
        "groups": [None] * len(places),
    }
    return Candidates(**{**given, **changes})


def picked(candidates: Candidates, count: int, by: Any, *, per_group: int | None = None, seed: int = 0) -> list[int]:
    return [pick.index for pick in choose(candidates, count, by, per_group, seed)[0]]


def test_doubt_falls_and_the_first_of_equals_is_taken() -> None:
    candidates = line(0, 1, 2, 3, doubt=np.array([0.2, 0.9, 0.5, 0.9]))
    assert picked(candidates, 4, "doubt") == [1, 3, 2, 0]


def test_k_center_takes_the_farthest_from_labeled_and_chosen() -> None:
    candidates = line(1, 4, 5, 6, 10, covered=(0.0,))
    picks, _ = choose(candidates, 3, "coverage", None, 0)
    assert [pick.index for pick in picks] == [4, 2, 0], "of three at distance 1 the first"
    assert [pick.distance for pick in picks] == [10, 5, 1], "to the nearest that was labeled or chosen before"


def test_without_labels_k_center_begins_in_the_middle() -> None:
    picks, _ = choose(line(0, 3, 4, 8, 9), 2, "coverage", None, 0)
    assert [(pick.index, pick.distance) for pick in picks] == [(2, None), (4, 5.0)]


def test_both_draws_by_doubt_times_squared_distance() -> None:
    candidates = line(0, 1, 3, 3, covered=(0.0,), doubt=np.array([1, 0.9, 0.1, 0.0]))
    first = [picked(candidates, 1, "both", seed=seed)[0] for seed in range(2000)]
    counts = np.bincount(first, minlength=4) / 2000
    assert counts[0] == counts[3] == 0, "one lies on a labeled image, one is not doubted"
    assert counts[1] == pytest.approx(0.5, abs=0.04), "0.9 · 1² against 0.1 · 3²"


def test_both_goes_on_where_all_weights_are_zero() -> None:
    candidates = line(0, 0, 0, covered=(0.0,))
    assert sorted(picked(candidates, 3, "both")) == [0, 1, 2]


@pytest.mark.parametrize("by", ["both", "random"])
def test_the_seed_decides_what_is_drawn(by: Any) -> None:
    candidates = line(*range(50), covered=(0.0,))
    assert picked(candidates, 10, by, seed=3) == picked(candidates, 10, by, seed=3)
    assert picked(candidates, 10, by, seed=3) != picked(candidates, 10, by, seed=4)
    assert len(set(picked(candidates, 50, by))) == 50


@pytest.mark.parametrize("by", ["doubt", "coverage", "both", "random"])
def test_twins_and_groups_are_kept(by: Any) -> None:
    candidates = line(1, 2, 3, 4, 5, 6, covered=(0.0,), groups=["a", "a", "a", "b", "b", None], twins={3: [5], 5: [3]})
    for seed in range(10):
        chosen = picked(candidates, 6, by, per_group=1, seed=seed)
        assert len(chosen) == (2 if 3 in chosen else 3), (
            "one of a, one of b, and the one without a group if no twin of it"
        )
        assert not {3, 5} <= set(chosen)
        assert len({0, 1, 2} & set(chosen)) == 1


def test_as_few_of_a_group_as_suffice() -> None:
    candidates = line(1, 2, 3, 4, groups=["a", "a", "a", "b"], doubt=np.array([0.9, 0.8, 0.7, 0.1]))
    picks, limit = choose(candidates, 3, "doubt", None, 0)
    assert ([pick.index for pick in picks], limit) == ([0, 3, 1], 2)
    picks, limit = choose(candidates, 2, "doubt", None, 0)
    assert ([pick.index for pick in picks], limit) == ([0, 3], 1)
    assert picked(candidates, 4, "doubt", per_group=2) == [0, 1, 3], "a fixed limit is not raised"
