"""nnU-Net's `splits_final.json` beside its raw data: `[{"train": ["heart_001", …], "val": [...]}]`, a division for each fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from delineate.common.files import read_json
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case, Split

__all__ = ["FILE", "apply_division"]

FILE = "splits_final.json"


def apply_division(root: Path, cases: Sequence[Case], origin: str) -> tuple[list[Case], str, list[Finding]]:
    """The cases with the one division that the file holds: its validation cases validate, its training cases train, and others are
    not used, but those of a test split. `origin`: of the splits so far, which is also given back, as it is then."""
    path = root / FILE
    if not path.is_file():
        return list(cases), origin, []
    divisions = _divisions(path)
    if len(divisions) != 1:
        text = f"{FILE} holds {count(len(divisions), 'division')} of folds and is not used"
        return list(cases), origin, [Finding("note", text, "`data split --folds` deals cases into folds")]
    places: dict[str, Split] = {}
    for split in ("train", "val"):
        places |= dict.fromkeys(divisions[0].get(split, ()), split)
    lost = sorted(places.keys() - {case.id for case in cases})
    if lost:
        text = f"{FILE} names {count(len(lost), 'case')} that {'is' if len(lost) == 1 else 'are'} not here: {some(lost, 3)}"
        return list(cases), origin, [Finding("error", text, "add them, or remove the file")]
    placed = [
        case if case.split == "test" or not case.masks else case.model_copy(update={"split": places.get(case.id)})
        for case in cases
    ]
    unlisted = [case.id for case in placed if case.split is None]
    findings = []
    if unlisted:
        text = f"{count(len(unlisted), 'case is', 'cases are')} not in {FILE} and not used: {some(unlisted)}"
        findings.append(Finding("note", text))
    return placed, "files", findings


def _divisions(path: Path) -> list[Mapping[str, list[str]]]:
    """The divisions of a file; none where it holds something else."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return []
    whole = isinstance(content, list) and all(isinstance(one, dict) for one in content)
    if not whole:
        return []
    return [
        {key: [str(name) for name in names] for key, names in one.items() if isinstance(names, list)} for one in content
    ]
