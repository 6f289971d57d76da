"""Predictions find their references by what both names have in common, in folders of masks and in data sets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.layouts.source import DataSource
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders

MASK = np.zeros((12, 12), np.uint8)
MASK[2:7, 3:8] = 255
OPTIONS = EvaluationOptions(metrics=("dice",))


def write(*paths: Path, value: int = 1) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.roll(MASK, value - 1, 0))


def dice(predictions: Path, references: Path | DataSource) -> list[float]:
    return [row.scores["dice"] for row in evaluate_folders(predictions, references, OPTIONS).rows]


@pytest.mark.parametrize("prediction", ["21_training", "21", "21_manual1", "21_training_mask", "mask_21", "21_test"])
@pytest.mark.parametrize("reference", ["21_manual1", "21", "21_gt", "21_1st_manual", "21_lesion", "label21"])
def test_endings_that_only_say_what_a_file_is(prediction: str, reference: str, tmp_path: Path) -> None:
    write(tmp_path / "p" / f"{prediction}.png", tmp_path / "r" / f"{reference}.png")
    assert dice(tmp_path / "p", tmp_path / "r") == [1.0]


def test_paths_of_predictions_name_patients(tmp_path: Path) -> None:
    for patient in ("P1", "P2"):
        for kind in ("images", "masks"):
            write(tmp_path / "set" / patient / kind / "0.png", value=int(patient[1]))
        write(tmp_path / "p" / patient / "images" / "0.png", value=int(patient[1]))
        write(tmp_path / "flat" / f"{patient}_0.png", value=int(patient[1]))
    assert dice(tmp_path / "flat", tmp_path / "set") == [1.0, 1.0]
    with pytest.raises(DataError, match="holds no masks"):  # folders within are not looked into without a list
        dice(tmp_path / "p", tmp_path / "set")


def test_two_references_of_one_case_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "p" / "x.png", tmp_path / "r" / "x_gt.png", tmp_path / "r" / "x_mask.png")
    with pytest.raises(DataError, match=r"x_gt\.png and .*x_mask\.png are both masks of 'x'; keep one"):
        dice(tmp_path / "p", tmp_path / "r")
    (tmp_path / "r" / "x_gt.png").unlink()
    write(tmp_path / "r" / "x_mask_1.png", value=3)  # BUSI's way of a second object
    assert dice(tmp_path / "p", tmp_path / "r")[0] < 1


def test_a_second_observer_beside_the_first_is_no_reference(tmp_path: Path) -> None:
    write(tmp_path / "p" / "x.png", tmp_path / "r" / "x_1stHO.png")
    write(tmp_path / "r" / "x_2ndHO.png", value=4)
    assert dice(tmp_path / "p", tmp_path / "r") == [1.0]


def test_second_observers_of_a_data_set_are_raters(tmp_path: Path) -> None:
    for number in "12":
        write(tmp_path / "set" / "images" / f"{number}.png", tmp_path / "p" / f"{number}.png")
        write(tmp_path / "set" / "1st_manual" / f"{number}_manual1.png")
        write(tmp_path / "set" / "2nd_manual" / f"{number}_manual2.png", value=3)
    evaluation = evaluate_folders(tmp_path / "p", tmp_path / "set", OPTIONS)
    assert [row.scores["dice"] for row in evaluation.rows] == [1.0, 1.0]
    assert ("rater", "prediction", "2nd_manual") in evaluation.raters
    assert evaluation.raters["rater", "prediction", "2nd_manual"].macro["dice"]["all"].mean < 1


def test_the_user_says_which_masks_are_the_references(tmp_path: Path) -> None:
    for number in "123":
        write(tmp_path / "set" / "images" / f"{number}.png", tmp_path / "p" / f"{number}.png")
        write(tmp_path / "set" / "mask" / f"{number}.png", value=4)
        write(tmp_path / "set" / "1st_manual" / f"{number}.png")
    with pytest.raises(DataError, match=r"1st_manual and mask both hold masks .* --masks 1st_manual"):
        dice(tmp_path / "p", tmp_path / "set")
    assert dice(tmp_path / "p", DataSource(tmp_path / "set", masks="1st_manual")) == [1.0] * 3
    assert max(dice(tmp_path / "p", DataSource(tmp_path / "set", masks="mask"))) < 1
