"""A run folder as the report sees it: whatever is there, and a list of what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from delineate.common.errors import ArtefactError, DelineateError
from delineate.common.files import parse_json, read_json
from delineate.data.core.manifest import Manifest
from delineate.engine.run_folder import RunFolder
from delineate.evaluation.results.scores_file import ScoresFile

__all__ = ["Overlay", "RunRecord", "read_run"]

_T = TypeVar("_T")
_RANKS = ("worst", "median", "best")


@dataclass(frozen=True)
class Overlay:
    """A picture of one validation case. File names are `<rank><number>_<case id>.png`, for example `worst1_c07.png`."""

    rank: str
    place: int
    case: str
    path: Path


@dataclass
class RunRecord:
    """What a run folder holds. Parts that are absent or cannot be read are None or empty and named in `missing`."""

    folder: Path
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    scores: ScoresFile | None = None
    recipe: str | None = None
    card: str | None = None
    manifest: Manifest | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    overlays: list[Overlay] = field(default_factory=list)
    panels: dict[str, list[Path]] = field(default_factory=dict)
    """Case id → pictures, in the order of their names."""
    missing: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Also while the run's own process writes what belongs to its end, this page among it."""
        return self.summary.get("status") in ("completing", "finished")


def read_run(folder: Path) -> RunRecord:
    """Read a run folder. Raises `ArtefactError` when `folder` is not one (it has neither recipe nor metrics)."""
    if not (folder / "recipe.yaml").exists() and not (folder / "metrics.jsonl").exists():
        raise ArtefactError(f"{folder} is not a run folder: it has neither recipe.yaml nor metrics.jsonl")
    record = RunRecord(folder)
    note = record.missing.append
    record.summary = _optional(folder / "run.json", _read_summary, note) or {}
    record.metrics = _optional(folder / "metrics.jsonl", _read_lines, note) or []
    record.recipe = _optional(folder / "recipe.yaml", _read_text, note)
    record.manifest = _optional(folder / "manifest.json", Manifest.load, note)
    record.environment = _optional(folder / "environment.json", _read_object, note) or {}
    record.card = _optional(folder / "card.md", _read_text, note) if (folder / "card.md").exists() else None
    validation = folder / "validation"
    validated = record.manifest is None or bool(record.manifest.split("val"))
    if validated and (record.finished or validation.exists()):
        record.scores = _optional(validation / "scores.json", lambda path: ScoresFile.read(path.parent), note)
        record.overlays = _find_overlays(validation / "overlays")
        if not record.overlays:
            note("validation/overlays: no pictures")
        record.panels = _find_panels(validation / "panels")
    return record


def _find_overlays(folder: Path) -> list[Overlay]:
    """The ranked pictures of a folder: worst first, then median, then best, each in the order of their places."""
    found = []
    for path in folder.rglob("*.png"):
        rank_and_place, separator, case = path.relative_to(folder).with_suffix("").as_posix().partition("_")
        rank = rank_and_place.rstrip("0123456789")
        if separator and rank in _RANKS:
            found.append(Overlay(rank, int(rank_and_place.removeprefix(rank) or 1), case, path))
    return sorted(found, key=lambda overlay: (_RANKS.index(overlay.rank), overlay.place, overlay.case))


def _find_panels(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.png")):
        found.setdefault(path.parent.relative_to(folder).as_posix(), []).append(path)
    return found


def _optional(path: Path, read: Callable[[Path], _T], note: Callable[[str], None]) -> _T | None:
    """The content, or None with a note on why there is none."""
    try:
        return read(path)
    except FileNotFoundError:
        note(f"{path.name}: not there")
    except (OSError, ValueError) as error:
        note(f"{path.name}: cannot be read ({error})")
    except DelineateError as error:
        note(str(error))
    return None


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def _read_summary(path: Path) -> dict[str, Any]:
    """`run.json` with the status that is true: a run that was killed could not write its own."""
    return _read_object(path) | {"status": RunFolder(path.parent).status()}


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON-lines file; a last line cut off by a kill is dropped."""
    records = []
    for line in _read_text(path).splitlines():
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
