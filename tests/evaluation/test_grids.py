"""Predictions in other formats, orders of axes and grids than their references: scored by where they lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry
from delineate.data.formats.canonical import Turn
from delineate.data.formats.contract import FULL
from delineate.data.formats.registry import write_map, write_mask
from delineate.evaluation.results.evaluate import Evaluation, EvaluationOptions, evaluate_folders

pytest.importorskip("nibabel")

GRID = Geometry((8, 7, 6), (5.0, -3.0, 2.0), np.eye(3), (0.7, 0.8, 5.0))
TRUTH = np.zeros(GRID.shape, np.uint8)
TRUTH[2:6, 1:5, 1:4] = 1
GUESS = np.roll(TRUTH, 1, 0)
METRICS = ("dice", "hd95_pooled", "assd", "ece")


@pytest.fixture
def scored(tmp_path: Path) -> Callable[..., Evaluation]:
    def score(suffix: str = ".nii.gz", turn: Turn | None = None) -> Evaluation:
        write_mask(tmp_path / "references/x.nii.gz", TRUTH, like=GRID)
        grid = GRID if turn is None else turn.geometry(GRID)
        mask = GUESS if turn is None else turn.apply(GUESS)
        write_mask(tmp_path / f"predictions/x{suffix}", np.ascontiguousarray(mask), like=grid)
        values = np.ascontiguousarray(mask).astype(np.uint16) * (FULL - 9000)
        write_map(tmp_path / f"predictions/probabilities/x{suffix}", values, like=grid)
        return evaluate_folders(tmp_path / "predictions", tmp_path / "references", EvaluationOptions(metrics=METRICS))

    return score


def test_orders_and_formats_score_alike(scored: Callable[..., Evaluation]) -> None:
    plain = scored()
    assert plain.rows[0].scores["dice"] == pytest.approx(0.75)
    assert not any("order or direction" in note for note in plain.notes)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize(
    "turn",
    [
        Turn((0, 1, 2), (True, False, False)),
        Turn((2, 0, 1), (False, True, True)),
        Turn((1, 0, 2), (False, False, False)),
    ],
)
def test_turned_predictions_score_as_the_plain_one(
    scored: Callable[..., Evaluation], tmp_path: Path, suffix: str, turn: Turn
) -> None:
    if suffix != ".nii.gz":
        pytest.importorskip("SimpleITK")
    expected = {"dice": 0.75, "hd95_pooled": 0.7}
    found = scored(suffix, turn)
    for name, value in expected.items():
        assert found.rows[0].scores[name] == pytest.approx(value)
    assert any("1 prediction with axes in another order or direction" in note for note in found.notes)
    (tmp_path / f"predictions/x{suffix}").unlink()
    (tmp_path / f"predictions/probabilities/x{suffix}").unlink()
    plain = scored()
    assert found.rows[0].scores == pytest.approx(plain.rows[0].scores, rel=1e-5)


def test_another_grid_is_said_and_its_maps_are_refused(tmp_path: Path) -> None:
    write_mask(tmp_path / "references/x.nii.gz", TRUTH, like=GRID)
    finer = Geometry((8, 7, 12), (5.0, -3.0, 0.75), np.eye(3), (0.7, 0.8, 2.5))
    write_mask(tmp_path / "predictions/x.nii.gz", GUESS.repeat(2, 2), like=finer)
    found = evaluate_folders(tmp_path / "predictions", tmp_path / "references", EvaluationOptions(metrics=("dice",)))
    assert found.rows[0].scores["dice"] == pytest.approx(0.75)
    assert any("1 prediction on other grids than their references" in note for note in found.notes)
    write_map(tmp_path / "predictions/probabilities/x.nii.gz", GUESS.repeat(2, 2).astype(np.uint16), like=finer)
    with pytest.raises(DataError, match="is a probability map on another grid than its reference"):
        evaluate_folders(tmp_path / "predictions", tmp_path / "references", EvaluationOptions(metrics=("ece",)))


def test_a_lost_header_is_refused(tmp_path: Path) -> None:
    write_mask(tmp_path / "references/x.nii.gz", TRUTH, like=GRID)
    write_mask(tmp_path / "predictions/x.nii.gz", GUESS, like=Geometry(GRID.shape, (0, 0, 0), np.eye(3), (1, 1, 1)))
    with pytest.raises(DataError, match="have the same shape but lie up to"):
        evaluate_folders(tmp_path / "predictions", tmp_path / "references", EvaluationOptions(metrics=("dice",)))
