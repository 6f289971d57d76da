"""Raw mask values → classes: the rule that masks tell by themselves, and how it is applied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.core import labels
from delineate.data.core.label_reading import Reading, read_by_evidence
from delineate.data.core.manifest import LabelRule
from delineate.data.core.mask_values import MaskValues, RawMask, count_values, mask_values

HERE = Path("mask.png")


def infer(*files: Mapping[int, int]) -> Reading:
    """The reading of files with these values."""
    return read_by_evidence([MaskValues(f"masks/{at:02}.png", counts) for at, counts in enumerate(files)])


def test_black_and_white() -> None:
    found = infer({0: 900, 255: 100})
    assert found.rule.values == {0: 0, 255: 1}
    assert found.classes.names == ("background", "foreground")
    assert found.classes.outputs == 1


def test_zero_and_one() -> None:
    found = infer({0: 900, 1: 100}, {0: 1000})
    assert found.rule.values == {0: 0, 1: 1}
    assert found.classes.outputs == 1


def test_255_beside_small_ids_is_ignored_and_said() -> None:
    found = infer({0: 800, 1: 100, 255: 100})
    assert found.rule.values == {0: 0, 1: 1, 255: 255}
    assert found.classes.outputs == 1
    assert "255 is ignored (10.00%" in found.rule.reason
    found = infer({0: 70, 1: 10, 2: 10, 4: 5, 255: 5})
    assert found.rule.values == {0: 0, 1: 1, 2: 2, 4: 3, 255: 255}
    assert found.classes.names == ("background", "label 1", "label 2", "label 4")


def test_a_mask_that_is_ignored_throughout_is_told() -> None:
    found = infer({0: 9, 1: 3}, {0: 9, 1: 3}, {0: 9, 1: 3, 255: 2}, {255: 12})
    assert found.rule.values == {0: 0, 1: 1, 255: 255}
    assert "1 mask is ignored throughout (masks/03.png)" in found.rule.reason


def test_ignored_pixels_without_a_class_are_fine_where_most_have_one() -> None:
    usual = {0: 90, 1: 30, 255: 20}
    assert infer(usual, usual, usual, {0: 90, 255: 20}).rule.values == {0: 0, 1: 1, 255: 255}


def test_jpeg_noise_is_thresholded_and_its_share_told() -> None:
    found = infer({0: 700, 1: 5, 3: 5, 130: 2, 253: 8, 255: 280})
    assert found.rule.threshold == 128
    assert "2.00% gray" in found.rule.reason
    assert found.classes.outputs == 1


def test_label_ids_become_classes_and_gaps_close() -> None:
    found = infer({0: 90, 1: 5, 2: 3, 4: 2})
    assert found.rule.values == {0: 0, 1: 1, 2: 2, 4: 3}
    assert found.classes.outputs == 4
    assert "0…3" in found.rule.reason
    assert infer({0: 9, 7: 1}).rule.values == {0: 0, 7: 1}
    assert infer({0: 9, 65535: 1}).rule.values == {0: 0, 65535: 1}


def test_evenly_spaced_gray_levels_are_classes() -> None:
    found = infer({0: 80, 128: 15, 255: 5})
    assert found.rule.values == {0: 0, 128: 1, 255: 2}
    assert found.classes.names == ("background", "label 128", "label 255")


def test_a_rare_further_id_is_told() -> None:
    found = infer(*[{0: 90, 1: 9, 2: 9}] * 9, {0: 90, 1: 9, 3: 4})
    assert found.rule.values == {0: 0, 1: 1, 2: 2, 3: 3}
    assert "3 is in 1 of 10 marked masks only (4 px; masks/09.png)" in found.rule.reason


@pytest.mark.parametrize("stray", [1, 2, 3, 77, 127, 254])
@pytest.mark.parametrize("files", [1, 3])
def test_a_stray_value_among_black_and_white_masks_is_named(stray: int, files: int) -> None:
    masks = [{0: 900, 255: 100, **({stray: 1} if at < files else {})} for at in range(12)]
    with pytest.raises(DataError, match=r"masks/00\.png.*(--labels)"):
        infer(*masks)


def test_a_stray_value_in_every_mask_is_not_a_class() -> None:
    with pytest.raises(DataError, match="do not agree"):
        infer(*[{0: 900, 1: 1, 255: 100}] * 5)


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ({0: 9, 1: 3}, {0: 9, 255: 3}),
        ({0: 9, 255: 3}, {0: 9, 1: 3}),
        ({0: 9, 1: 3, 2: 3}, {0: 9, 255: 3}),
        ({0: 9, 1: 3, 2: 3}, {0: 9, 64: 3, 128: 3}),
        ({0: 9, 1: 3}, {0: 9, 128: 3}),
        ({0: 9, 37: 3, 90: 3}, {0: 9, 1: 3, 2: 3}),
        ({0: 9, 255: 3}, {0: 9, 65535: 3}),
    ],
)
@pytest.mark.parametrize("share", [1, 5])
def test_masks_of_another_coding_are_named(usual: dict[int, int], other: dict[int, int], share: int) -> None:
    with pytest.raises(DataError, match=r"masks/09\.png"):
        infer(*[usual] * (10 - share), *[other] * share) if share == 1 else infer(*[usual] * 9, other)
    with pytest.raises(DataError):
        infer(*[usual] * (10 - share), *[other] * share)


def test_a_noisy_mask_among_ids_is_named() -> None:
    noisy = {0: 900, 1: 9, 2: 4, 250: 5, 254: 9, 255: 200}
    with pytest.raises(DataError, match=r"masks/05\.png"):
        infer(*[{0: 900, 1: 99}] * 5, noisy)
    assert infer(*[{0: 900, 255: 99}] * 5, noisy).rule.threshold == 128, "beside clean black and white it fits"


def test_three_levels_with_noise_are_not_black_and_white() -> None:
    level = np.zeros((200, 200), np.uint8)
    level[20:60, 20:60], level[100:124, 100:124] = 255, 128
    noise = np.random.default_rng(0).integers(-6, 7, level.shape)
    raw = np.where(level > 0, np.clip(level + noise, 0, 255), level).astype(np.uint8)
    with pytest.raises(DataError):
        read_by_evidence([mask_values(RawMask(raw), "a.png")])


def test_instance_maps_are_not_noise() -> None:
    ids = dict.fromkeys(range(1, 241), 9)
    with pytest.raises(DataError, match=r"240 px|241 distinct values; that looks like instance ids.*1-65535=NAME"):
        infer({0: 60000, **ids})


def test_numbers_of_objects_are_told_from_classes() -> None:
    maps = [{0: 900, **dict.fromkeys(range(1, last + 1), 9)} for last in (5, 11, 8, 14)]
    (note,) = infer(*maps).notes
    assert "up to 14 in masks/03.png" in note
    assert "--labels 1-65535=NAME" in note
    same = infer(*[{0: 900, **dict.fromkeys(range(1, 71), 9)}] * 4)
    assert len(same.notes) == 1, "so many are told even where all masks hold all"
    organs = [{0: 900, **dict.fromkeys(shown, 9)} for shown in (range(1, 14), range(1, 14), range(3, 12), (1, 5))]
    assert not any("objects" in note for note in infer(*organs).notes)
    assert infer(*[{0: 900, **dict.fromkeys(range(1, 14), 9)}] * 5).notes == ()


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
        infer(counts)


def test_healthy_masks_can_be_read_where_that_is_asked_for() -> None:
    found = read_by_evidence([MaskValues("a.png", {0: 9})], empty_ok=True)
    assert found.classes.names == ("background", "foreground")
    assert found.rule.reason == "all masks are empty"


@given(st.sets(st.integers(1, 120), min_size=1, max_size=20), st.integers(0, 2**32 - 1))
def test_inferred_rules_apply_to_their_masks(ids: set[int], seed: int) -> None:
    values = np.array([0, *sorted(ids)], np.uint8)
    raw = np.random.default_rng(seed).choice(values, (8, 8))
    raw.flat[: len(values)] = values
    reading = infer(count_values(raw))
    found = labels.apply(reading.rule, raw, HERE)
    assert np.array_equal(values[found], raw)
    assert len(reading.classes.names) == len(values)


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
    assert count_values(raw) == {0: 1, 1: 1, 255: 1}


def test_ranges_name_what_single_values_do_not() -> None:
    rule = LabelRule(values={0: 0, 7: 255}, ranges=((1, 65535, 1),))
    for dtype in (np.uint8, np.uint16):
        assert labels.apply(rule, np.array([[0, 1, 7, 9]], dtype), HERE).tolist() == [[0, 1, 255, 1]]
    assert rule.class_pixels({0: 3, 7: 2, 200: 1, 9: 4}) == {0: 3, 255: 2, 1: 5}


def test_a_threshold_splits_at_its_value() -> None:
    assert labels.apply(LabelRule(threshold=128), np.array([[0, 127, 128, 255]], np.uint8), HERE).tolist() == [
        [0, 0, 1, 1]
    ]


def test_merging_is_a_union() -> None:
    left, right = np.array([[1, 0, 0]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    assert labels.merge([left, right]).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("value", [0.99999, 1.0004, 2.99995])
def test_labels_that_scaling_has_moved_are_whole(value: float) -> None:
    assert labels.whole(np.array([[0.0, value]]), HERE).tolist() == [[0, round(value)]]


@pytest.mark.parametrize("value", [0.5, 0.99, 1.01, 3.3])
def test_fractions_are_refused_with_their_value(value: float) -> None:
    with pytest.raises(DataError, match=rf"fractions, such as {value:g}$"):
        labels.whole(np.array([[0.0, value]]), HERE)


@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", ">i2", "i4", "f4"])
def test_values_are_counted_in_every_type_and_order(kind: str) -> None:
    raw = np.random.default_rng(3).integers(-9 if kind != "u1" else 0, 99, (70, 80, 60)).astype(kind)
    values, counts = np.unique(raw, return_counts=True)
    expected = dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert count_values(raw) == count_values(np.asfortranarray(raw)) == expected
    assert sum(expected.values()) == raw.size
