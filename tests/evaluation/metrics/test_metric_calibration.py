"""Calibration against the definition, bin by bin, and against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import patient

from delineate.evaluation.metrics.calibration import BINS, Probabilities, brier, expected_calibration_error

seeds = st.integers(0, 2**32 - 1)


def drawn(seed, classes, shape=(7, 6)):
    """Probabilities classes×shape and a reference that follows them only loosely."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes) * rng.uniform(0.1, 3), shape)
    return np.moveaxis(probabilities, -1, 0), rng.integers(0, classes, shape)


@patient
@given(seed=seeds)
def test_calibration_error_bin_by_bin(seed):
    (_, stated), truth = drawn(seed, 2)
    total = 0.0
    for bin_ in range(BINS):
        inside = (stated > bin_ / BINS) & (stated <= (bin_ + 1) / BINS) | ((stated == 0) & (bin_ == 0))
        if inside.any():
            total += inside.mean() * abs(stated[inside].mean() - truth[inside].mean())
    assert expected_calibration_error(Probabilities.of(stated, truth)) == pytest.approx(total)


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_is_torchmetrics(seed):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    torch = pytest.importorskip("torch")
    probabilities, truth = drawn(seed, 4, (30, 20))
    tensors = (torch.from_numpy(probabilities)[None], torch.from_numpy(truth)[None])
    several = functional.multiclass_calibration_error(*tensors, num_classes=4, n_bins=BINS)
    assert expected_calibration_error(Probabilities.of(probabilities, truth)) == pytest.approx(float(several), abs=1e-6)
    tensors = (torch.from_numpy(probabilities[1].copy()), torch.from_numpy((truth == 1).astype(int)))
    binary = functional.binary_calibration_error(*tensors, n_bins=BINS)
    ours = expected_calibration_error(Probabilities.of(probabilities[1], truth == 1))
    assert ours == pytest.approx(float(binary), abs=1e-6)


@patient
@given(seed=seeds, classes=st.integers(2, 4))
def test_ranges_certainty_and_ignored_pixels(seed, classes):
    probabilities, truth = drawn(seed, classes)
    of = Probabilities.of(probabilities, truth)
    assert 0 <= expected_calibration_error(of) <= 1
    assert 0 <= brier(of) <= 2
    certain = Probabilities.of((truth == np.arange(classes)[:, None, None]).astype(float), truth)
    assert (expected_calibration_error(certain), brier(certain)) == (0, 0)
    valid = np.random.default_rng(seed).random(truth.shape) < 0.8
    hidden = Probabilities.of(probabilities, np.where(valid, truth, 0), valid=valid)
    kept = Probabilities.of(probabilities[:, valid], truth[valid])
    assert brier(hidden) == brier(kept)
    assert expected_calibration_error(hidden) == expected_calibration_error(kept)


@patient
@given(seed=seeds)
def test_two_classes_are_twice_the_binary_brier_score(seed):
    probabilities, truth = drawn(seed, 2)
    assert brier(Probabilities.of(probabilities, truth)) == pytest.approx(
        2 * brier(Probabilities.of(probabilities[1], truth))
    )


@pytest.mark.parametrize(
    ("probabilities", "reference", "message"),
    [
        (np.full((2, 2), 1.01), np.zeros((2, 2), int), "outside 0…1"),
        (np.full((2, 2), np.nan), np.zeros((2, 2), int), "outside 0…1"),
        (np.full((2, 3), 0.5), np.zeros((2, 2), int), "do not fit"),
        (np.full((2, 2, 2), 0.5), np.full((2, 2), 2), "without a probability"),
        (np.full((2, 2), 0.5), np.full((2, 2), 255), "without a probability"),
    ],
)
def test_not_probabilities(probabilities, reference, message):
    with pytest.raises(ValueError, match=message):
        Probabilities.of(probabilities, reference)
