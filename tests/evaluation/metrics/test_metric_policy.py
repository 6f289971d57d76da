"""Empty masks, ignored pixels and odd input: every metric of the registry keeps the same rules."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pairs import masks, patient, swapped

from delineate.common.errors import DataError
from delineate.evaluation.metrics.calibration import Probabilities
from delineate.evaluation.metrics.instances import Instances
from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.metric import POLICY
from delineate.evaluation.metrics.registry import (
    DEFAULT,
    FAMILIES,
    INSTANCE_METRICS,
    METRICS,
    PROBABILITY_METRICS,
    resolve,
)

ALL = resolve(["all"])
OUTCOMES = {
    "both_empty": (False, False),
    "false_positive": (True, False),
    "missed": (False, True),
    "found": (True, True),
}
"""Outcome → whether prediction and reference have pixels."""
SIZE = {"both_empty": 0, "false_positive": 1.5, "missed": -1.5, "found": 0}
AMOUNTS = {
    "specificity": {"both_empty": 1, "false_positive": 59 / 60, "missed": 1, "found": 1},
    "volume_difference": SIZE,
    "absolute_volume_difference": {outcome: abs(size) for outcome, size in SIZE.items()},
    "relative_volume_difference": {"both_empty": math.nan, "false_positive": math.nan, "missed": -1, "found": 0},
}


def pair(outcome, axes):
    """Arrays of 60 pixels; the same single pixel in each mask that has any."""
    shape = {2: (6, 10), 3: (3, 4, 5)}[axes]
    both = [np.zeros(shape, bool) for _ in range(2)]
    for mask, has in zip(both, OUTCOMES[outcome], strict=True):
        mask.flat[17] = has
    return both


def expected(metric, outcome):
    if metric.kind == "overlap":
        return float(outcome in ("both_empty", "found"))
    if metric.kind == "distance":
        return 0 if outcome == "found" else math.nan
    return AMOUNTS[metric.name][outcome]


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_empty_masks(metric, outcome, axes):
    of = Masks.of(*pair(outcome, axes), spacing=(1, 0.5, 3)[:axes])
    of_size = 1.5 if axes == 3 else 0.5
    value = expected(metric, outcome) * (of_size / 1.5 if metric.unit == "size" else 1)
    assert of.outcome == outcome
    assert metric.value(of) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("metric", INSTANCE_METRICS.values(), ids=lambda metric: metric.name)
def test_maps_without_objects(metric, outcome):
    of = Instances.of(*(mask.astype(np.uint16) * 7 for mask in pair(outcome, 2)))
    assert of.outcome == outcome
    assert metric.value(of) == expected(metric, outcome)


@pytest.mark.parametrize("reference", [0, 1])
@pytest.mark.parametrize("metric", PROBABILITY_METRICS.values(), ids=lambda metric: metric.name)
def test_probabilities_of_an_empty_reference_are_scored_like_others(metric, reference):
    stated, truth = np.full((4, 5), 0.3), np.full((4, 5), reference)
    gap = abs(reference - 0.3)
    assert metric.value(Probabilities.of(stated, truth)) == pytest.approx(gap if metric.name == "ece" else gap**2)
    assert math.isnan(metric.value(Probabilities.of(stated, truth, valid=np.zeros((4, 5), bool))))


@patient
@given(of=masks(empty=True))
def test_ranges_and_identity(of):
    back, itself = swapped(of), Masks.of(of.prediction, of.prediction, spacing=of.spacing)
    for metric in ALL:
        value = metric.value(of)
        if metric.kind == "overlap":
            assert 0 <= value <= 1
            assert metric.value(itself) == 1
        if metric.name in ("dice", "iou", "boundary_iou", "cldice", "lesion_f1"):
            assert value == pytest.approx(metric.value(back))
        if metric.kind == "distance" and of.outcome == "found":
            assert 0 <= value <= of.diagonal
    assert METRICS["lesion_precision"].value(of) == METRICS["lesion_recall"].value(back)
    assert METRICS["volume_difference"].value(of) == -METRICS["volume_difference"].value(back)


@patient
@given(of=masks(empty=True), data=st.data())
def test_ignored_pixels_count_for_nothing(of, data):
    """Whatever the masks say there, scores are the same; and they are those of masks that are empty there."""
    valid = data.draw(arrays.arrays(np.bool_, of.prediction.shape))
    hidden = data.draw(arrays.arrays(np.bool_, of.prediction.shape))
    one = Masks.of(of.prediction, of.reference, spacing=of.spacing, valid=valid)
    other = Masks.of(np.where(valid, of.prediction, hidden), of.reference & valid, spacing=of.spacing, valid=valid)
    for metric in ALL:
        assert metric.value(one) == pytest.approx(metric.value(other), nan_ok=True, abs=0)
    assert one.tp + one.fp + one.fn + one.tn == valid.sum()


def test_masks_refuse_what_cannot_be_compared():
    square, row = np.zeros((4, 4), bool), np.zeros((4, 5), bool)
    with pytest.raises(ValueError, match="differ in shape"):
        Masks.of(square, row)
    with pytest.raises(ValueError, match="differ in shape"):
        Masks.of(square, square, valid=row)
    with pytest.raises(ValueError, match="2 or 3 axes"):
        Masks.of(square[0], square[0])
    for spacing in ((1,), (1, 0), (1, -1), (1, math.nan), (1, math.inf)):
        with pytest.raises(ValueError, match="not a positive number"):
            Masks.of(square, square, spacing=spacing)
    with pytest.raises(ValueError, match="one is empty"):
        _ = Masks.of(square, square).distances


def test_names_choose_metrics():
    assert [metric.name for metric in resolve(["dice", "nsd@3", "boundary_iou@0.05", "dice"])] == [
        "dice",
        "nsd_3",
        "boundary_iou_0.05",
    ]
    assert [metric.name for metric in resolve(["nsd", "nsd@2", "boundary_iou@0.02", "lesion_f1"])] == [
        "nsd_2",
        "boundary_iou",
        "lesion_f1",
    ]
    assert {metric.family for metric in resolve(["lesion"])} == {"lesion"}
    assert len(ALL) == len(METRICS)


@pytest.mark.parametrize("metric", [*ALL, *resolve(["nsd@0.5", "boundary_iou@0.1"])], ids=lambda metric: metric.name)
def test_a_column_can_be_asked_for_by_its_name(metric):
    assert [found.name for found in resolve([metric.name])] == [metric.name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dise", "did you mean 'dice'"),
        ("hd95", "did you mean 'hd95_max', 'hd95_pooled' or 'hd95_weighted'"),
        ("boundry", "did you mean 'boundary'"),
        ("nsd@wide", "tolerance must be a number from 0 on, as in 'nsd@2'"),
        ("nsd@-1", "tolerance"),
        ("nsd@nan", "tolerance"),
        ("boundary_iou@1.5", "ratio must be a number from 0 to 1"),
        ("dice@2", "dice takes no parameter"),
    ],
)
def test_unknown_names_are_one_line(name, message):
    with pytest.raises(DataError, match=message) as error:
        resolve([name])
    assert "\n" not in str(error.value)


def test_registry_holds_together():
    everything = {**METRICS, **INSTANCE_METRICS, **PROBABILITY_METRICS}
    assert len(everything) == len(METRICS) + len(INSTANCE_METRICS) + len(PROBABILITY_METRICS)
    assert all(name == metric.name and metric.kind in POLICY for name, metric in everything.items())
    assert not set(FAMILIES) & set(METRICS) - {"overlap"}
    assert len(resolve(DEFAULT)) == len(DEFAULT)


def test_documentation_names_every_metric():
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    named = [metric.name for metric in (*ALL, *INSTANCE_METRICS.values(), *PROBABILITY_METRICS.values())]
    assert [name for name in named if f"| `{name}` |" not in page] == []
