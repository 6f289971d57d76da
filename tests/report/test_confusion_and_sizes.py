"""Which class was taken for which, scores against size, and rows of a table that are alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from delineate.data.core.manifest import ClassTable
from delineate.evaluation.results import case_scores
from delineate.evaluation.results.case_scores import confusion, score_case
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.pages.evaluation import write_evaluation_report
from delineate.report.parts.confusion_table import confusion_table
from delineate.report.parts.scores import score_tables
from delineate.report.parts.scores_by_size import sizes_part

FOUR = ClassTable(names=("background", "a", "b", "c"))


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.uint8, (5, 7), elements=st.integers(0, 3)),
    arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 2, 3, 255])),
    st.integers(1, 40),
)
def test_the_matrix_is_that_of_the_counts(prediction: np.ndarray, reference: np.ndarray, at_once: int):
    usual, case_scores.AT_ONCE = case_scores.AT_ONCE, at_once
    try:
        found = confusion(prediction, reference, FOUR)
    finally:
        case_scores.AT_ONCE = usual
    assert found.sum() == (reference != 255).sum()
    for row in score_case("x", prediction, reference, FOUR):
        own = found[row.label, row.label]
        assert (row.tp, row.fn) == (own, found[row.label].sum() - own)
        assert row.fp == found[:, row.label].sum() - own


def evaluated(folder: Path, *, empty: bool = False) -> ScoresFile:
    """Twelve cases of discs that grow, each predicted a little too small; one of them without any, if asked for."""
    for name, shrink in (("p", 1), ("r", 0)):
        (folder / name).mkdir(parents=True)
        for at in range(12):
            mask = np.zeros((64, 64), np.uint8)
            if not (empty and at == 5):
                cv2.circle(mask, (32, 32), 4 + 2 * at - shrink, 255, -1)
            cv2.imwrite(str(folder / name / f"c{at:02d}.png"), mask)
    evaluate_folders(folder / "p", folder / "r", EvaluationOptions(metrics=("dice", "hd95_pooled")), out=folder / "out")
    return ScoresFile.read(folder / "out")


def test_rows_that_are_equal_are_one_row(tmp_path: Path):
    assert "all, present" in score_tables(evaluated(tmp_path / "full"))
    table = score_tables(evaluated(tmp_path / "empty", empty=True))
    assert "all, present" not in table
    assert "penalised, found" in table, "a mask that is rightly empty counts in neither"


def test_matrix_and_sizes_are_on_the_page(tmp_path: Path):
    scores_file = evaluated(tmp_path)
    matrix = confusion_table(scores_file)
    assert matrix is not None
    assert "predicted foreground" in matrix
    part = sizes_part(scores_file)
    assert part is not None
    for words in ("smallest third", "largest third", "12 structures", "pixels in the reference"):
        assert words in part
    page = write_evaluation_report(scores_file.folder).read_text(encoding="utf-8")
    assert "Confusion between classes" in page
    assert "Scores by size of the structure" in page
    assert "12 images" in page


def test_pages_of_earlier_evaluations_have_no_matrix(tmp_path: Path):
    scores_file = evaluated(tmp_path)
    del scores_file.content["confusion"]
    assert confusion_table(scores_file) is None


def test_one_case_is_said_in_the_singular(tmp_path: Path):
    for name in ("p", "r"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "only.png"), np.eye(8, dtype=np.uint8) * 255)
    evaluate_folders(tmp_path / "p", tmp_path / "r", out=tmp_path / "out")
    page = write_evaluation_report(tmp_path / "out").read_text(encoding="utf-8")
    assert "1 images" not in page
    assert "1 cases" not in page
    assert "n = 1 case" in page
