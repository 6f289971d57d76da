"""`train.txt`, `val.txt`, `test.txt` beside the images: one case's name in each line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.case import Case, Split
from delineate.data.findings import Finding, count, some
from delineate.data.images import IMAGE_SUFFIXES

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of lists and folders → the split they stand for."""


def apply_lists(root: Path, cases: Sequence[Case]) -> tuple[list[Case], list[Finding]]:
    """The cases with the splits of the lists in `root`; unchanged when there are none.

    Without a train list, all cases that no list names are for training; with one, they are left out.
    """
    named = {path: split for path in sorted(root.glob("*.txt")) if (split := SPLIT_NAMES.get(path.stem.lower()))}
    # What is in two lists stays out of training, should the fault be passed over.
    lists = dict(sorted(named.items(), key=lambda item: ("test", "val", "train").index(item[1])))
    if not lists:
        return list(cases), []
    ids = {case.id for case in cases}
    findings: list[Finding] = []
    found: dict[str, tuple[Split, Path]] = {}
    for path, split in lists.items():
        entries = _entries(path, ids)
        findings += _unknown(path, [entry for entry in entries if entry not in ids])
        twice = [entry for entry in entries if entry in found and found[entry][0] != split]
        if twice:
            lists_named = " and ".join(sorted((found[twice[0]][1].name, path.name)))
            text = f"{count(len(twice), 'name is', 'names are')} in two lists, {lists_named}: {some(twice)}"
            findings.append(Finding("error", text, "keep each name in one list"))
        found |= {entry: (split, path) for entry in entries if entry not in found}
    rest: Split | None = None if "train" in lists.values() else "train"
    unlisted = [case.id for case in cases if case.id not in found]
    if unlisted and rest is None:
        findings.append(
            Finding("note", f"{count(len(unlisted), 'case is', 'cases are')} in no list and not used: {some(unlisted)}")
        )
    splits = {case.id: found[case.id][0] if case.id in found else rest for case in cases}
    return [case.model_copy(update={"split": splits[case.id]}) for case in cases], findings


def _entries(path: Path, ids: set[str]) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the list {path}: {error}; save it as UTF-8 text with one name in each line"
        ) from error
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return list(dict.fromkeys(name if name in ids else _stem(name) for name in names))


def _stem(entry: str) -> str:
    """Lists often hold file names or paths instead of stems."""
    name = Path(entry.replace("\\", "/")).name
    return Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES else name


def _unknown(path: Path, names: list[str]) -> list[Finding]:
    if not names:
        return []
    text = f"{path} lists {count(len(names), 'name')} without image and mask: {some(names)}"
    return [Finding("error", text, "correct the list or add the files")]
