"""Each opening of a test split is noted: how often test cases were looked at is part of a result.

A note goes beside the predictions, into the output folder, into the run whose model made them (also its card), and into a log of
the user's own. The cases are known again by the hashes of their masks, so that other names, folders, predictions or parts of the
set hide nothing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from delineate.common.errors import DelineateError
from delineate.common.files import append_line, parse_json, sha256
from delineate.common.state_folder import user_state_folder
from delineate.data.core.findings import count

__all__ = [
    "ACCESS_LOG_FILE",
    "HEADING",
    "USER_FILE",
    "Access",
    "Accesses",
    "note_access",
]

ACCESS_LOG_FILE = "evaluations.jsonl"
USER_FILE = "openings.jsonl"
"""In the user's state folder."""
HEADING = "## Accesses of the test split"
"""In a run's card; a line for each opening follows."""

_SKETCH = 256
"""So many hashes, the smallest, stand for a set: sets with a common part have common ones."""
_SAME = 0.2
"""Share of common hashes from which on two openings are of the same test cases."""
_DIGITS = 12


@dataclass(frozen=True)
class Access:
    """What is noted of one look at test cases."""

    references: Path
    """As they were given."""
    cases: int
    masks: Sequence[str] = ()
    """SHA-256 of the cases' mask files."""
    predictions: Path | None = None
    model: Path | None = None
    model_sha256: str | None = None
    members: Sequence[tuple[Path, str]] = ()
    """Of an ensemble: model files with their hashes."""
    private: bool = False
    """Whether names of folders may tell who a patient is: the card, which goes with the model, has none of them then."""


@dataclass(frozen=True)
class Accesses:
    """How often these test cases were opened, this time included."""

    total: int = 0
    own: int = 0
    """With this model; where no model is known, with these predictions."""
    faults: tuple[str, ...] = field(default=())
    """Why it could not be noted in some places."""

    @property
    def remarks(self) -> list[str]:
        """What the user should know of them."""
        if not self.faults:
            return []
        more = f" (and in {len(self.faults) - 1} more places)" if len(self.faults) > 1 else ""
        return [f"this opening of the test split is noted elsewhere alone: {self.faults[0]}{more}."]


def note_access(access: Access, out: Path | None) -> Accesses:
    """Note an opening wherever it belongs, and count.

    Raises `DelineateError` where no place at all can be written.
    """
    note = {
        "id": uuid4().hex,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "split": "test",
        "references": os.path.abspath(access.references),  # noqa: PTH100 - links stay what they are called
        "predictions": None if access.predictions is None else os.path.abspath(access.predictions),  # noqa: PTH100
        "model": None if access.model is None else str(access.model),
        "model_sha256": access.model_sha256,
        "cases": access.cases,
        "masks": _sketch(access.masks),
    }
    runs = _runs_of(access)
    places = [folder / ACCESS_LOG_FILE for folder in (out, access.predictions, *runs) if folder is not None]
    if (state := user_state_folder()) is not None:
        places.append(state / USER_FILE)
    places = list(dict.fromkeys(place.resolve() for place in places))
    faults = [
        fault for place in places if (fault := _write(place, json.dumps(note, ensure_ascii=False, allow_nan=False)))
    ]
    if len(faults) == len(places):
        raise DelineateError(
            f"an opening of the test split must be noted, but {faults[0]}; give an --out that can be written"
        )
    for run in runs:
        with suppress(DelineateError, OSError):  # the card is for the reader; the logs count
            _note_in_card(run / "card.md", _card_line(note, access.private))
    return _counted(note, places, tuple(faults))


def _counted(note: dict[str, Any], places: Iterable[Path], faults: tuple[str, ...]) -> Accesses:
    """The notes of the same test cases, each once, though it is in several logs."""
    alike = {each["id"]: each for place in places for each in _read(place) if _is_same(each, note)}
    alike[note["id"]] = note
    key = "model_sha256" if note["model_sha256"] else "predictions"
    own = [each for each in alike.values() if each.get(key) is not None and each.get(key) == note[key]]
    return Accesses(len(alike), max(1, len(own)), faults)


def _is_same(note: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two notes are of the same test cases; notes of older versions know only where these lay."""
    ours, theirs = set(note.get("masks") or ()), set(other["masks"])
    if not ours or not theirs:
        return bool(note.get("references") == other["references"])
    return len(ours & theirs) >= _SAME * min(len(ours), len(theirs))


def _sketch(masks: Sequence[str]) -> list[str]:
    """Of hashes that occur once alone: empty masks are all equal."""
    counts = Counter(mask[:_DIGITS] for mask in masks)
    return sorted(mask for mask, number in counts.items() if number == 1)[:_SKETCH]


def _read(place: Path) -> list[dict[str, Any]]:
    """The notes in a log; damaged lines are passed over."""
    notes = []
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for number, line in enumerate(lines):
        with suppress(ValueError):
            note = parse_json(line)
            if isinstance(note, dict):
                notes.append({"id": f"{place}:{number}", **note})
    return notes


def _write(place: Path, line: str) -> str:
    """Add a line to a log; why that cannot be done, or ''."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        append_line(place, line)
    except (DelineateError, OSError) as error:
        return str(error)
    return ""


def _runs_of(access: Access) -> list[Path]:
    """The run folders that still hold the very model, or the members of the ensemble."""
    given: list[tuple[Path, str | None]] = list(access.members)
    if access.model is not None:
        given.append((access.model, access.model_sha256))
    found = []
    for path, digest in given:
        model = path / "model.safetensors" if path.is_dir() else path
        if model.is_file() and model.with_name("recipe.yaml").is_file() and digest in (None, sha256(model)):
            found.append(model.parent)
    return found


def _card_line(note: dict[str, Any], private: bool) -> str:
    if private:
        return f"- {note['time']}: {count(note['cases'], 'case')}; {ACCESS_LOG_FILE} says where they lie"
    what = "few-shot scores" if note["predictions"] is None else f"predictions in {note['predictions']}"
    return f"- {note['time']}: {count(note['cases'], 'case')} of {note['references']}, {what}"


def _note_in_card(card: Path, line: str) -> None:
    if not card.is_file():
        return
    if HEADING not in card.read_text(encoding="utf-8").splitlines():
        append_line(card, f"\n{HEADING}\n")
    append_line(card, line)
