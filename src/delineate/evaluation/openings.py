"""Each opening of a test split is noted beside the predictions: how often a test set was looked at is part of a result."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from delineate.common.files import append_line
from delineate.evaluation.predictions import PredictionList

FILE_NAME = "evaluations.jsonl"


def note_opening(predictions: Path, references: Path, out: Path | None, cases: int) -> int:
    """Add a line beside the predictions, and in the output folder; the number of openings noted beside the predictions.

    Raises `DelineateError` when the note cannot be written.
    """
    listed = PredictionList.find(predictions)
    note = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "split": "test",
        "references": str(references),
        "predictions": str(predictions),
        "model": listed.model if listed is not None else None,
        "cases": cases,
    }
    for folder in {predictions.resolve(), *([out.resolve()] if out is not None else [])}:
        append_line(folder / FILE_NAME, json.dumps(note, ensure_ascii=False))
    return len((predictions / FILE_NAME).read_text(encoding="utf-8").splitlines())
