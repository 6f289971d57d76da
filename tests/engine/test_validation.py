"""Dice of the validation pass against a plain count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from delineate.engine.validation import case_dice

MASKS = hnp.arrays(np.int64, (1, 5, 6), elements=st.sampled_from([0, 1, 2, 255]))


def plain(predicted: np.ndarray, reference: np.ndarray, classes: int) -> float:
    seen, values = reference != 255, []
    for index in range(1, classes):
        ours, theirs = (predicted == index) & seen, (reference == index) & seen
        if ours.sum() + theirs.sum():
            values.append(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))
    return float(np.mean(values)) if values else 1.0


@given(MASKS, hnp.arrays(np.int64, (1, 5, 6), elements=st.integers(0, 2)))
def test_several_classes(reference: np.ndarray, predicted: np.ndarray) -> None:
    logits = torch.nn.functional.one_hot(torch.from_numpy(predicted), 3).permute(0, 3, 1, 2).float()
    assert case_dice(logits, torch.from_numpy(reference)) == [pytest.approx(plain(predicted[0], reference[0], 3))]


def test_binary_empty_cases() -> None:
    empty, full = torch.zeros(1, 4, 4, dtype=torch.long), torch.ones(1, 4, 4, dtype=torch.long)
    no, yes = torch.full((1, 1, 4, 4), -1.0), torch.full((1, 1, 4, 4), 1.0)
    assert [case_dice(no, empty), case_dice(no, full), case_dice(yes, empty), case_dice(yes, full)] == [
        [1],
        [0],
        [0],
        [1],
    ]
