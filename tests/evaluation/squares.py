"""Masks of squares, whose scores can be worked out by hand, and evaluations made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from delineate.data.core.manifest import ClassTable
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.evaluation.inputs.prediction_list import PredictedFile, PredictionList
from delineate.evaluation.metrics.registry import resolve
from delineate.evaluation.results.case_scores import Row, score_case
from delineate.evaluation.results.scores_file import Origin, write_scores
from delineate.evaluation.results.summary import summarize

SIZE = 24


def square(left: int, width: int = 8, value: int = 255) -> np.ndarray:
    """A mask with a square of `width`² pixels that starts in column `left`; none where the width is 0."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[8 : 8 + width, left : left + width] = value
    return mask


def write(folder: Path, masks: Mapping[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        assert cv2.imwrite(str(folder / f"{name}.png"), mask)
    return folder


def listing(folder: Path, method: str, seed: int | None, *names: str) -> None:
    """The list that `predict` leaves beside masks."""
    files = tuple(PredictedFile(mask=f"{name}.png", image=f"{name}.png") for name in names)
    table = ClassTable()
    made = PredictionList(method=method, model=None, model_sha256=None, seed=seed, class_names=table.names, files=files)
    made.save(folder)


def evaluation(
    folder: Path,
    shifts: Mapping[str, int],
    origin: Origin | None = None,
    *,
    training: TrainingRecord | None = None,
    **origin_of: object,
) -> Path:
    """An evaluation of squares that are shifted against their references by so many pixels (of 8)."""
    metrics = resolve(("dice", "hd95_pooled", "volume_difference"))
    rows: list[Row] = []
    for name, shift in shifts.items():
        rows += score_case(name, square(4 + shift) > 0, square(4) > 0, ClassTable(), metrics=metrics)
    folder.mkdir(parents=True)
    made = origin or Origin(**{"split": "test", **origin_of})  # type: ignore[arg-type]
    extra = {} if training is None else {"training": training.to_json()}
    write_scores(folder, rows, summarize(rows, metrics), made, extra)
    return folder
