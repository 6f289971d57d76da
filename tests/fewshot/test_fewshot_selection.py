"""What few-shot validation judges by: volumes are its cases, by the rules of all training."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from delineate.engine.best_weights import CaseCounts, Judgment, judge_validation
from delineate.fewshot.validation import _count


@dataclass(frozen=True)
class Asked:
    label: int
    volume: str


def judged(asked: list[Asked], predicted: np.ndarray, reference: np.ndarray) -> Judgment:
    """`predicted` 0 and 1, `reference` 0, 1 and 255 per slice."""
    counts = defaultdict(lambda: defaultdict(lambda: np.zeros(4, np.int64)))
    _count(counts, asked, torch.from_numpy(predicted)[:, None].float() - 0.5, torch.from_numpy(reference))  # type: ignore[arg-type]
    return judge_validation(CaseCounts(tuple(one), *np.stack(list(one.values()), 1)) for one in counts.values())


SLICES = (4, 3, 3)
ASKED = [Asked(1, "a"), Asked(1, "a"), Asked(2, "a"), Asked(1, "b")]


@given(
    hnp.arrays(np.int64, SLICES, elements=st.sampled_from([0, 1])), hnp.arrays(np.int64, SLICES, elements=st.just(0))
)
def test_where_all_that_is_asked_for_is_there_it_is_the_mean_over_volumes(
    predicted: np.ndarray, reference: np.ndarray
) -> None:
    reference[:, 0] = 1
    found = judged(ASKED, predicted, reference)

    def dice(*at: int) -> float:
        ours, theirs = predicted[list(at)], reference[list(at)]
        return float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))

    assert found.measure == "cases"
    assert found.dice == pytest.approx(np.mean([np.mean([dice(0, 1), dice(3)]), dice(2)]))


def test_a_volume_without_the_class_does_not_score_1_for_nothing() -> None:
    reference = np.zeros(SLICES, np.int64)
    reference[0, 0], reference[2] = 1, 1
    nothing = judged(ASKED, np.zeros(SLICES, np.int64), reference)
    assert (nothing.measure, nothing.dice, nothing.marked) == ("pooled", 0, 0)
    assert judged(ASKED, reference, reference).dice == 1
    stray = reference.copy()
    stray[3, 0] = 1
    assert judged(ASKED, stray, reference).dice == pytest.approx(np.mean([2 * 3 / (6 + 3), 1]))


def test_ignored_slices_count_nowhere() -> None:
    reference = np.full(SLICES, 255, np.int64)
    assert judged(ASKED, np.ones(SLICES, np.int64), reference).measure == "nothing"
    reference[3] = 1
    found = judged(ASKED, np.ones(SLICES, np.int64), reference)
    assert (found.measure, found.dice, found.cases) == ("cases", 1, 1)
