"""Several raters: majority by hand, what is compared with what, folders that do not fit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from delineate.common.errors import DataError
from delineate.evaluation.inputs.raters import MAJORITY, OTHERS, majority, open_raters, rater_comparisons
from delineate.evaluation.inputs.references import open_references
from delineate.evaluation.metrics.pixel_counts import confusion, counts, dice


def mask(text: str) -> np.ndarray:
    return np.array([[255 if value == "-" else int(value) for value in text]], np.uint8)


@pytest.mark.parametrize(
    ("masks", "result"),
    [
        (["0011", "0101"], "0001"),  # two raters: both must agree
        (["0011", "0101", "0110"], "0111"),
        (["0011", "0101", "0111", "0001"], "0001"),  # 2 : 2 is background
        (["0122", "0112", "0212"], "0112"),
        (["012", "021", "000"], "000"),  # no class has more than half
        (["1-1-", "10--", "00--"], "101-"),  # who ignores does not vote
    ],
)
def test_majority_by_hand(masks: list[str], result: str):
    assert majority([mask(text) for text in masks]).tolist() == mask(result).tolist()


@given(arrays(np.uint8, (5, 4, 6), elements=st.sampled_from([0, 1, 2, 255])))
def test_majority_by_counting(stack: np.ndarray):
    got = majority(list(stack))
    for place in np.ndindex(stack.shape[1:]):
        votes = [value for value in stack[:, *place].tolist() if value != 255]
        most = [value for value in (1, 2) if 2 * votes.count(value) > len(votes)]
        assert got[place] == (most[0] if most else 0 if votes else 255)


def test_all_comparisons_of_three_raters():
    raters = {"a": mask("0011"), "b": mask("0101"), "c": mask("0111")}
    made = list(rater_comparisons(mask("1111"), raters))
    assert [(each.kind, each.first, each.second) for each in made] == [
        ("rater", "prediction", "a"),
        ("rater", "prediction", "b"),
        ("rater", "prediction", "c"),
        ("majority", "prediction", MAJORITY),
        ("between raters", "b", "a"),
        ("between raters", "c", "a"),
        ("between raters", "c", "b"),
        ("rater against the others", "a", OTHERS),
        ("rater against the others", "b", OTHERS),
        ("rater against the others", "c", OTHERS),
    ]
    assert made[3].reference.tolist() == mask("0111").tolist()
    assert made[4].prediction.tolist() == mask("0101").tolist(), "the later rater takes the prediction's place"
    assert made[7].reference.tolist() == mask("0101").tolist(), "b and c agree on these"


def test_two_raters_have_no_others_and_one_has_no_majority():
    two = {"a": mask("01"), "b": mask("11")}
    assert [each.kind for each in rater_comparisons(mask("01"), two)] == [
        "rater",
        "rater",
        "majority",
        "between raters",
    ]
    assert [each.kind for each in rater_comparisons(None, two)] == ["between raters"]
    assert [each.kind for each in rater_comparisons(mask("01"), {"a": mask("01")})] == ["rater"]
    with pytest.raises(ValueError, match="differ in shape"):
        list(rater_comparisons(mask("011"), two))


def test_what_either_ignores_is_not_scored():
    (only,) = rater_comparisons(None, {"a": mask("01-1"), "b": mask("-110")})
    assert only.prediction.tolist() == mask("0110").tolist()
    assert only.reference.tolist() == mask("-1-1").tolist()


def save(path: Path, *values: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.array([values], np.uint8))


def test_raters_are_read_by_name(tmp_path: Path):
    for name in "ab":
        save(tmp_path / "one" / f"{name}.png", 0, 255, 0)
        save(tmp_path / "two" / f"{name}_mask.png", 0, 1, 1)
    save(tmp_path / "two" / "more.png", 0, 1, 1)
    found = open_references(tmp_path / "one", None, None)
    raters = open_raters(tmp_path / "one", [tmp_path / "two"], found)
    assert raters.names == ("one", "two")
    assert {name: values.tolist() for name, values in raters.read("b").items()} == {
        "one": [[0, 1, 0]],
        "two": [[0, 1, 1]],
    }
    assert "2 raters (one, two); a pixel has the class that more than half" in raters.describe()


def test_raters_that_do_not_fit_are_one_line(tmp_path: Path):
    for folder in ("x/masks", "y/masks", "three"):
        save(tmp_path / folder / "a.png", 0, 255)
        save(tmp_path / folder / "b.png", 0, 255)
    first = tmp_path / "x" / "masks"
    found = open_references(first, None, None)
    assert open_raters(first, [tmp_path / "y" / "masks"], found).names == ("x/masks", "y/masks")
    with pytest.raises(DataError, match="given as two raters"):
        open_raters(first, [tmp_path / "three", first], found)
    save(tmp_path / "three" / "a.png", 0, 255, 255)
    with pytest.raises(DataError, match="of 'a' differ in size: masks 1×2, three 1×3"):
        open_raters(first, [tmp_path / "three"], found).read("a")
    save(tmp_path / "three" / "a.png", 0, 1, 2)
    with pytest.raises(DataError, match="three"):
        open_raters(first, [tmp_path / "three"], found)
    (tmp_path / "three" / "a.png").unlink()
    with pytest.raises(DataError, match=r"three has no mask of 1 reference \(a\)"):
        open_raters(first, [tmp_path / "three"], found)


def test_the_two_observers_of_real_vessels(shared_data: Path):
    folder = shared_data / "CHASE_DB1"
    found = open_references(folder / "masks", None, None)
    raters = open_raters(folder / "masks", [folder / "masks_2nd_observer"], found)
    assert raters.names == ("masks", "masks_2nd_observer")
    (only,) = rater_comparisons(None, raters.read("Image_11L"))
    assert (only.first, only.second) == ("masks_2nd_observer", "masks")
    assert 0.7 < dice(counts(confusion(only.prediction, only.reference, 2)))[1] < 0.9
