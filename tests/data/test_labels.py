"""Raw mask values → classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data import labels
from delineate.data.case import LabelRule

HERE = Path("mask.png")


def test_black_and_white() -> None:
    rule, classes = labels.infer({0: 900, 255: 100})
    assert rule.values == {0: 0, 255: 1}
    assert classes.names == ("background", "foreground")
    assert classes.outputs == 1


def test_zero_and_one() -> None:
    rule, classes = labels.infer({0: 900, 1: 100})
    assert rule.values == {0: 0, 1: 1}
    assert classes.outputs == 1


def test_255_beside_small_ids_is_ignored_and_said() -> None:
    rule, classes = labels.infer({0: 800, 1: 100, 255: 100})
    assert rule.values == {0: 0, 1: 1, 255: 255}
    assert classes.outputs == 1
    assert "255 is ignored (10.00%" in rule.reason
    rule, classes = labels.infer({0: 70, 1: 10, 2: 10, 4: 5, 255: 5})
    assert rule.values == {0: 0, 1: 1, 2: 2, 4: 3, 255: 255}
    assert classes.names == ("background", "class 1", "class 2", "class 4")


def test_jpeg_noise_is_thresholded_and_its_share_told() -> None:
    rule, classes = labels.infer({0: 700, 1: 5, 3: 5, 130: 2, 253: 8, 255: 280})
    assert rule.threshold == 128
    assert "2.00% grey" in rule.reason
    assert classes.outputs == 1


def test_label_ids_become_classes_and_gaps_close() -> None:
    rule, classes = labels.infer({0: 90, 1: 5, 2: 3, 4: 2})
    assert rule.values == {0: 0, 1: 1, 2: 2, 4: 3}
    assert classes.outputs == 4
    assert "0…3" in rule.reason
    assert labels.infer({0: 9, 7: 1})[0].values == {0: 0, 7: 1}
    assert labels.infer({0: 9, 65535: 1})[0].values == {0: 0, 65535: 1}


def test_evenly_spaced_grey_levels_are_classes() -> None:
    rule, classes = labels.infer({0: 80, 128: 15, 255: 5})
    assert rule.values == {0: 0, 128: 1, 255: 2}
    assert classes.outputs == 3


def test_a_stray_grey_level_is_not_a_class() -> None:
    with pytest.raises(DataError, match=r"unexpected mask values: 0 \(8000 px\), 128 \(15 px\), 255"):
        labels.infer({0: 8000, 128: 15, 255: 500}, {0: 100, 128: 1, 255: 100})


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "no mask pixels"),
        ({0: 100}, "all masks are empty"),
        ({1: 50, 2: 50}, "no mask has background"),
        ({255: 50}, "no mask has background"),
        ({0: 50, 60: 20, 90: 20, 255: 10}, r"unexpected mask values: 0 \(50 px\), 60 \(20 px\)"),
        (dict.fromkeys(range(300), 10), "instance ids"),
    ],
)
def test_what_cannot_be_read_is_said(counts: dict[int, int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        labels.infer(counts)


@given(st.sets(st.integers(1, 120), min_size=1, max_size=20), st.integers(0, 2**32 - 1))
def test_inferred_rules_apply_to_their_masks(ids: set[int], seed: int) -> None:
    values = np.array([0, *sorted(ids)], np.uint8)
    raw = np.random.default_rng(seed).choice(values, (8, 8))
    raw.flat[: len(values)] = values
    rule, classes = labels.infer(labels.count_values(raw))
    found = labels.apply(rule, raw, HERE)
    assert np.array_equal(values[found], raw)
    assert len(classes.names) == len(values)


def test_unexpected_values_name_file_and_values() -> None:
    rule = LabelRule(values={0: 0, 1: 1})
    raw = np.array([[0, 1, 7, 7]], np.uint8)
    with pytest.raises(
        DataError, match=r"mask\.png has unexpected mask values: 7 \(2 px\); the data set's values are 0, 1"
    ):
        labels.apply(rule, raw, HERE)
    with pytest.raises(DataError, match="40000"):
        labels.apply(rule, np.array([[40000]], np.uint16), HERE)


def test_sixteen_bit_masks_follow_the_same_rule() -> None:
    rule = LabelRule(values={0: 0, 1: 1, 255: 255})
    raw = np.array([[0, 1, 255]], np.uint16)
    assert labels.apply(rule, raw, HERE).tolist() == [[0, 1, 255]]
    assert labels.count_values(raw) == {0: 1, 1: 1, 255: 1}


def test_a_threshold_splits_at_its_value() -> None:
    assert labels.apply(LabelRule(threshold=128), np.array([[0, 127, 128, 255]], np.uint8), HERE).tolist() == [
        [0, 0, 1, 1]
    ]


def test_merging_is_a_union() -> None:
    left, right = np.array([[1, 0, 0]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    assert labels.merge([left, right]).tolist() == [[1, 0, 1]]
