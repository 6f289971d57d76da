"""BatchNorm with one value per channel: one line, which counts what the network saw."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from delineate.common.errors import RecipeError
from delineate.engine.memory import enough_values


@pytest.mark.parametrize(
    ("labeled", "seen"),
    [
        (None, "a batch of 1 at 32×32"),
        ([True], "a batch of 1 at 32×32"),
        ([False, True], "a batch of 2, 1 with masks, at"),
    ],
)
def test_one_value_is_told(labeled: list[bool] | None, seen: str) -> None:
    given = None if labeled is None else torch.tensor(labeled)
    with pytest.raises(RecipeError, match=f"and {seen}") as told, enough_values(len(labeled or [1]), (32, 32), given):
        nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1))
    assert ("data.labeled_share" in str(told.value)) == (labeled == [False, True])


def test_other_faults_are_not_swallowed() -> None:
    with pytest.raises(ValueError, match="another"), enough_values(1, (32, 32)):
        raise ValueError("another")
