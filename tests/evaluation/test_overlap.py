"""Scores against their definitions, by hand and by property."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from delineate.data.core.manifest import ClassTable
from delineate.evaluation.metrics.pixel_counts import SCORES, confusion, counts
from delineate.evaluation.metrics.registry import resolve
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.summary import summarize

BINARY = ClassTable()
FOUR = ClassTable(names=("background", "a", "b", "c"))
labels = arrays.arrays(np.uint8, (6, 7), elements=st.integers(0, 3))


def mask(*rows: str) -> np.ndarray:
    return np.array([[int(value) for value in row] for row in rows], np.uint8)


def test_by_hand():
    reference, prediction = mask("1100", "1100"), mask("0110", "0110")
    (row,) = score_case("x", prediction, reference, BINARY)
    assert (row.tp, row.fp, row.fn) == (2, 2, 2)
    assert row.scores == pytest.approx({"dice": 0.5, "iou": 1 / 3, "precision": 0.5, "recall": 0.5})
    assert row.present
    assert row.found


@pytest.mark.parametrize(
    ("prediction", "reference", "score", "present", "found"),
    [
        ("0000", "0000", 1.0, False, False),
        ("0100", "0000", 0.0, False, False),
        ("0000", "0100", 0.0, True, False),
        ("0100", "0100", 1.0, True, True),
        ("1000", "0100", 0.0, True, False),
    ],
)
def test_empty_masks(prediction, reference, score, present, found):
    (row,) = score_case("x", mask(prediction), mask(reference), BINARY)
    assert set(row.scores.values()) == {score}
    assert (row.present, row.found) == (present, found)


@given(prediction=labels, reference=labels)
def test_against_sets(prediction, reference):
    for row in score_case("x", prediction, reference, FOUR):
        ours, theirs = prediction == row.label, reference == row.label
        both, either = (ours & theirs).sum(), (ours | theirs).sum()
        assert (row.tp, row.fp, row.fn) == (both, (ours & ~theirs).sum(), (theirs & ~ours).sum())
        if not either:
            assert set(row.scores.values()) == {1.0}
            continue
        assert row.scores["iou"] == pytest.approx(both / either)
        assert row.scores["dice"] == pytest.approx(2 * both / (ours.sum() + theirs.sum()))
        assert row.scores["dice"] == pytest.approx(2 * row.scores["iou"] / (1 + row.scores["iou"]))
        assert row.scores["precision"] == pytest.approx(both / ours.sum() if ours.any() else 0)
        assert row.scores["recall"] == pytest.approx(both / theirs.sum() if theirs.any() else 0)


@given(prediction=labels, reference=labels)
def test_precision_and_recall_mirror_each_other(prediction, reference):
    for one, other in zip(
        score_case("x", prediction, reference, FOUR), score_case("x", reference, prediction, FOUR), strict=True
    ):
        assert one.scores["precision"] == other.scores["recall"]
        assert one.scores["dice"] == other.scores["dice"]


@given(prediction=labels, reference=labels, ignored=arrays.arrays(np.bool_, (6, 7)))
def test_ignored_pixels_do_not_count(prediction, reference, ignored):
    kept = np.where(ignored, 255, reference).astype(np.uint8)
    whole = counts(confusion(prediction[~ignored], reference[~ignored], 4))
    part = counts(confusion(prediction, kept, 4))
    assert all(np.array_equal(getattr(whole, name), getattr(part, name)) for name in ("tp", "fp", "fn"))


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="differ in shape"):
        score_case("x", mask("00"), mask("000"), BINARY)
    with pytest.raises(ValueError, match="outside 0…1"):
        score_case("x", mask("02"), mask("00"), BINARY)
    with pytest.raises(ValueError, match="outside 0…1"):
        score_case("x", mask("00"), mask("02"), BINARY)


def test_table_of_one_class():
    rows = [
        *score_case("found", mask("1100"), mask("1000"), BINARY),
        *score_case("beside", mask("0100"), mask("1000"), BINARY),
        *score_case("missed", mask("0000"), mask("1000"), BINARY),
        *score_case("false", mask("1000"), mask("0000"), BINARY),
        *score_case("empty", mask("0000"), mask("0000"), BINARY),
    ]
    summary = summarize(rows)
    dice = summary.classes["foreground"]["dice"]
    assert (dice["all"].mean, dice["all"].n) == (pytest.approx((2 / 3 + 0 + 0 + 0 + 1) / 5), 5)
    assert (dice["present"].mean, dice["present"].n) == (pytest.approx((2 / 3 + 0 + 0) / 3), 3)
    assert summary.headline_column == "present"
    assert summary.headline() == dice["present"].mean
    seen = summary.outcomes["foreground"]
    assert (seen.found, seen.not_touched, seen.missed, seen.false_positive, seen.both_empty) == (1, 1, 1, 1, 1)
    assert summary.cases == 5


@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=6))
def test_found_is_when_the_masks_share_a_pixel(pairs):
    rows = [row for at, pair in enumerate(pairs) for row in score_case(str(at), *pair, FOUR)]
    for row in rows:
        assert (row.outcome == "found") == row.found == (row.tp > 0)
        assert row.present == (row.tp + row.fn > 0)
        assert (row.outcome == "not_touched") == (row.tp == 0 and row.fp > 0 and row.fn > 0)
        assert row.both == (row.tp + row.fn > 0 and row.tp + row.fp > 0)
    summary = summarize(rows)
    for name, seen in summary.outcomes.items():
        assert seen.found == sum(row.found for row in rows if row.name == name)
        assert sum(vars(seen).values()) == len(pairs)


@given(st.lists(st.booleans(), min_size=1, max_size=5), st.integers(0, 5))
def test_empty_cases_do_not_move_the_headline(marked, empties):
    """Whatever their number, as long as one case has the class."""
    full, nothing = mask("1100"), mask("0000")
    rows = [row for at, hit in enumerate(marked) for row in score_case(f"{at}", full * hit, full, BINARY)]
    more = [row for at in range(empties) for row in score_case(f"empty{at}", nothing, nothing, BINARY)]
    assert summarize(rows + more).headline() == summarize(rows).headline() == np.mean(marked)


def test_without_any_reference_false_positives_are_the_headline():
    rows = [*score_case("a", mask("0000"), mask("0000"), BINARY), *score_case("b", mask("1000"), mask("0000"), BINARY)]
    assert (summarize(rows).headline_column, summarize(rows).headline()) == ("all", 0.5)


def test_table_of_several_classes():
    rows = [
        *score_case("x", mask("1120"), mask("1122"), FOUR),
        *score_case("y", mask("1000"), mask("1000"), FOUR),
    ]
    summary = summarize(rows)
    assert summary.headline_column == "present"
    assert summary.classes["c"]["dice"]["all"].mean == 1
    assert summary.classes["c"]["dice"]["present"].mean is None
    assert summary.headline("dice") == pytest.approx((1 + 2 / 3) / 2), "class c, which no reference has, is left out"
    assert summary.macro["dice"]["present"].n == 2, "cases with a class that counts"
    assert summary.macro["dice"]["all"].mean == pytest.approx((1 + (2 / 3 + 1) / 2 + 1) / 3)
    assert set(summary.macro) == set(SCORES)


def test_no_interval_leaves_the_range_of_its_metric():
    """A few cases far off make bootstrap-t intervals wide: a distance cannot exceed the diagonal of the largest image."""
    metrics = resolve(("dice", "hd95_pooled"))
    away = np.zeros((30, 40), np.uint8)
    away[0, 0] = 1
    near = np.zeros((30, 40), np.uint8)
    near[14:16, 18:20] = 1
    rows = []
    for at in range(8):
        rows += score_case(f"c{at}", away if at == 0 else near, near, BINARY, metrics=metrics)
    interval = summarize(rows, metrics).macro["hd95_pooled"]["penalised"]
    assert interval.low == 0
    assert interval.high == 50, "of 30×40 pixels"


def test_nothing_to_quote_is_not_a_number():
    summary = summarize(score_case("x", mask("00"), mask("00"), FOUR))
    assert math.isnan(summary.headline())
    with pytest.raises(KeyError):
        summary.headline("hausdorff")
