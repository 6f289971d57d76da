"""The order of the leaderboard."""

from __future__ import annotations

import pytest

from delineate.studies.leaderboard import _place


@pytest.mark.parametrize(("sign", "best"), [(-1, 0.9), (1, 0.1)])
def test_a_method_without_scores_comes_last(sign: int, best: float):
    ordered = sorted([None, 0.1, 0.5, 0.9, 0.0 if sign < 0 else 2.0], key=lambda mean: _place(mean, sign))
    assert (ordered[0], ordered[-1]) == (best, None)
