"""Each opening of a test split is noted: how often a test set was looked at is part of a result.

The note goes beside the predictions, and into the card of the run whose model made them, so that predicting anew hides nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from delineate.common.files import append_line, sha256
from delineate.evaluation.predictions import PredictionList

FILE_NAME = "evaluations.jsonl"
HEADING = "## Openings of the test split"
"""In a run's card; a line for each opening follows."""


def note_opening(predictions: Path, references: Path, out: Path | None, cases: int) -> int:
    """Add a line beside the predictions, in the output folder and in the card of the model's run.

    Returns the number of openings noted beside the predictions.

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
        append_line(folder / FILE_NAME, json.dumps(note, ensure_ascii=False, allow_nan=False))
    if listed is not None and (card := _card(listed)) is not None:
        _note_in_card(card, f"- {note['time']}: {cases} cases of {references}, predictions in {predictions}")
    return len((predictions / FILE_NAME).read_text(encoding="utf-8").splitlines())


def note_opening_by(model: Path | None, data: Path, out: Path, cases: int) -> int:
    """The same where a model was shown the test split directly, without predictions in a folder (few-shot episodes).

    Returns the number of openings noted in the output folder.
    """
    note = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "split": "test",
        "references": str(data),
        "model": None if model is None else str(model),
        "cases": cases,
    }
    append_line(out / FILE_NAME, json.dumps(note, ensure_ascii=False, allow_nan=False))
    if model is not None and (card := _card_beside(model, None)) is not None:
        _note_in_card(card, f"- {note['time']}: {cases} cases of {data}, few-shot scores in {out}")
    return len((out / FILE_NAME).read_text(encoding="utf-8").splitlines())


def _card(listed: PredictionList) -> Path | None:
    """The card of the run that still holds the very model which made the predictions."""
    known = listed.model is not None and listed.model_sha256 is not None
    return _card_beside(Path(listed.model), listed.model_sha256) if known and listed.model else None


def _card_beside(given: Path, digest: str | None) -> Path | None:
    """The card of the run that holds a model, of that SHA-256 if it is known."""
    model = given / "model.safetensors" if given.is_dir() else given
    card = model.with_name("card.md")
    if not (card.is_file() and model.with_name("recipe.yaml").is_file() and model.is_file()):
        return None
    return card if digest in (None, sha256(model)) else None


def _note_in_card(card: Path, line: str) -> None:
    if HEADING not in card.read_text(encoding="utf-8").splitlines():
        append_line(card, f"\n{HEADING}\n")
    append_line(card, line)
