"""The score that chooses weights, and what methods learn from beside masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_resume import metrics

from delineate.common.errors import RecipeError
from delineate.data.core.soft_mask import NO_TARGETS
from delineate.engine.best_weights import BestScore, CaseCounts, is_better, judge_validation, measure_words
from delineate.engine.build import targets_of
from delineate.engine.recipe import resolve
from delineate.engine.request import TrainRequest
from delineate.engine.run import train

Maker = Callable[..., TrainRequest]


def case(both: int, ours: int, theirs: int, valid: int = 100) -> CaseCounts:
    return CaseCounts((1,), *(np.array([value]) for value in (both, ours, theirs, valid)))


def test_miou_is_the_mean_over_cases() -> None:
    """Dice 2·5/(10 + 10) = .5, IoU 5/15; and Dice 1, IoU 1."""
    judged = judge_validation([case(5, 10, 10), case(7, 7, 7)])
    assert (judged.dice, judged.iou) == (pytest.approx(0.75), pytest.approx((1 / 3 + 1) / 2))
    assert judged.words("miou") == f"mIoU {judged.iou:.4f}"
    assert measure_words(judged.measure, "miou") == "mIoU, mean over cases"


def test_miou_is_pooled_where_a_case_is_empty() -> None:
    """Pixels of all cases together: 5 of 10 + 10 + 3 − 5."""
    judged = judge_validation([case(5, 10, 10), case(0, 3, 0)])
    assert (judged.dice, judged.iou) == (pytest.approx(10 / 23), pytest.approx(5 / 18))
    assert judged.words("miou") == "mIoU 0.2778 (pooled)"
    nothing = judge_validation([case(0, 3, 0)])
    assert nothing.iou is nothing.dice is None
    assert nothing.words("miou") == "mIoU – (no foreground)"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5))
def test_pooled_miou_and_dice_tell_the_same(cases: list[tuple[int, int, int]]) -> None:
    """Of one class, pooled: IoU = Dice / (2 − Dice)."""
    judged = judge_validation(
        [case(0, 0, 0), *(case(both, both + more, both + missed) for both, more, missed in cases)]
    )
    if judged.dice is not None:
        assert judged.iou == pytest.approx(judged.dice / (2 - judged.dice))


def test_the_two_scores_can_choose_differently() -> None:
    """Two halves (Dice .667, IoU .5) against one right and one missed by much (Dice .55, IoU .526)."""
    halves, mixed = judge_validation([case(5, 5, 10)] * 2), judge_validation([case(10, 10, 10), case(1, 10, 10)])
    best = BestScore(halves.dice, 1.0, "cases", halves.iou)
    assert not is_better(mixed, 0.5, best, "dice")
    assert is_better(mixed, 0.5, best, "miou")


def test_it_is_said_in_log_and_summary(request_for: Maker, recorder: Any) -> None:
    watching = recorder()
    train(request_for(steps=8, settings=["engine.select_by=miou", "engine.early_stop=1", "engine.lr=1e-12"]), watching)
    run = request_for().out
    values = [line["val"] for line in metrics(run)]
    assert all(value["select_by"] == "miou" and value["iou"] <= value["dice"] for value in values)
    assert "mIoU" in json.loads((run / "run.json").read_text())["best"]["chosen_by"]
    assert any("no better mIoU" in note for note in watching.notes)
    with pytest.raises(RecipeError, match="select_by"):
        train(request_for("other", settings=["engine.select_by=accuracy"]))


def test_patches_are_refused() -> None:
    assert targets_of(resolve("condseg", "paper", {}, ["input.fit=patch"])) == NO_TARGETS
    assert targets_of(resolve("panet", "tiny", {})) == NO_TARGETS
    with pytest.raises(RecipeError, match=r"input.fit=patch: .*'condseg' learns from soft or unaugmented masks"):
        targets_of(resolve("condseg", "released", {}, ["input.fit=patch"]))
