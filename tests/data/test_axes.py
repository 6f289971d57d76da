from __future__ import annotations

import pytest

from delineate.common.errors import DataError
from delineate.data.core.axes import axis_choice, axis_number


@pytest.mark.parametrize(
    ("given", "number"),
    [("axial", 2), ("Coronal", 1), ("sagittal", 0), ("1", 1), (0, 0), (2, 2), ("auto", None), (None, None)],
)
def test_axes_have_names_and_numbers(given: str | int | None, number: int | None) -> None:
    assert axis_number(given) == number


@pytest.mark.parametrize("given", ["3", 3, -1, "transverse", "", True])
def test_others_are_refused(given: str | int) -> None:
    with pytest.raises(DataError, match=r"is not known; use auto, axial \(2"):
        axis_number(given)
    with pytest.raises(DataError, match=r"right to left\), or all$"):
        axis_choice(given)
