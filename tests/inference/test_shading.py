"""Volumes as people see them: within the model's window, or between percentiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from delineate.data.core.input_spec import InputSpec
from delineate.inference.shading import shaded

WINDOW = InputSpec(channels="gray", axis=2, intensity="window", window_level=50, window_width=100)


def test_a_window_is_shown_as_the_model_sees_it() -> None:
    values = np.array([-1000.0, 0, 25, 50, 100, 900], np.float32).reshape(1, 2, 3)
    assert shaded(values, WINDOW, Path("x")).ravel().tolist() == [0, 0, 64, 128, 255, 255]
    both = np.stack([values, np.zeros_like(values)], -1)
    assert np.array_equal(shaded(both, WINDOW, Path("x")), shaded(values, WINDOW, Path("x"))), "the first channel"


def test_bytes_stay_and_other_values_are_spread() -> None:
    spec = InputSpec(channels="gray", axis=2, intensity="zscore", zscore_over="volume")
    bytes_ = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert shaded(bytes_, spec, Path("x")) is bytes_
    shown = shaded(np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 3, 4), spec, Path("x"))
    assert (shown.min(), shown.max(), shown.dtype) == (0, 255, np.uint8)
