"""Lists beside the images, one case's name in each line: `train.txt`, `val.txt`, `test.txt` say who is where, `unlabelled.txt`
whose masks are not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.case import Case, Split
from delineate.data.findings import Finding, count, some
from delineate.data.images import IMAGE_SUFFIXES
from delineate.data.planes import packed_stem

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
UNLABELLED = ("unlabelled", "unlabeled")
"""What a list or a folder is called that holds training images to be used without masks."""

Names = Mapping[str, Sequence[str]]
"""What a list may say → ids of the cases it means."""


def apply_lists(root: Path, cases: Sequence[Case]) -> tuple[list[Case], list[Finding]]:
    """The cases with the splits of the lists in `root`; unchanged when there are none.

    Without a train list, all cases that no list names are for training; with one, they are left out. Those that
    `unlabelled.txt` names are for training, without their masks.
    """
    files = sorted(root.glob("*.txt"))
    lists = {path: split for path in files if (split := SPLIT_NAMES.get(path.stem.lower()))}
    names = {case.id: (case.id,) for case in cases}
    cases, findings = drop_masks([path for path in files if path.stem.lower() in UNLABELLED], cases, names)
    if not lists:
        return cases, findings
    found, faults = read_lists(lists, names)
    rest: Split | None = None if "train" in lists.values() else "train"
    splits = {case.id: found.get(case.id, rest if case.masks else "train") for case in cases}
    unlisted = [name for name, split in splits.items() if split is None]
    if unlisted:
        faults.append(
            Finding("note", f"{count(len(unlisted), 'case is', 'cases are')} in no list and not used: {some(unlisted)}")
        )
    return [case.model_copy(update={"split": splits[case.id]}) for case in cases], findings + faults


def read_lists(lists: Mapping[Path, Split], names: Names) -> tuple[dict[str, Split], list[Finding]]:
    """Case id → split, of the cases that the lists name; errors for unknown names, and for names in lists of two splits."""
    findings: list[Finding] = []
    found: dict[str, tuple[Split, Path]] = {}
    # What is in two lists stays out of training, should the fault be passed over.
    for path, split in sorted(lists.items(), key=lambda item: ("test", "val", "train").index(item[1])):
        ids, faults = _listed(path, names)
        findings += faults
        twice = [name for name in ids if name in found and found[name][0] != split]
        if twice:
            lists_named = " and ".join(sorted((found[twice[0]][1].name, path.name)))
            text = f"{count(len(twice), 'name is', 'names are')} in two lists, {lists_named}: {some(twice)}"
            findings.append(Finding("error", text, "keep each name in one list"))
        found |= {name: (split, path) for name in ids if name not in found}
    return {name: split for name, (split, _) in found.items()}, findings


def drop_masks(lists: Sequence[Path], cases: Sequence[Case], names: Names) -> tuple[list[Case], list[Finding]]:
    """The cases, those that the lists name without their masks."""
    named: set[str] = set()
    findings = []
    for path in lists:
        ids, faults = _listed(path, names)
        named.update(ids)
        findings += faults
        text = f"{count(len(ids), 'training image is', 'training images are')} used without masks, as {path.name} says"
        findings.append(Finding("note", text))
    bare = {"masks": (), "raters": (), "split": "train"}
    return [case.model_copy(update=bare) if case.id in named else case for case in cases], findings


def _listed(path: Path, names: Names) -> tuple[list[str], list[Finding]]:
    """The ids that a list means, and an error for what it names in vain."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the list {path}: {error}; save it as UTF-8 text with one name in each line"
        ) from error
    said = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    said = list(dict.fromkeys(name if name in names else _stem(name) for name in said))
    unknown = [name for name in said if name not in names]
    findings = []
    if unknown:
        text = f"{path} lists {count(len(unknown), 'name')} without image and mask: {some(unknown)}"
        findings.append(Finding("error", text, "correct the list or add the files"))
    return list(dict.fromkeys(one for name in said for one in names.get(name, ()))), findings


def _stem(entry: str) -> str:
    """Lists often hold file names or paths instead of stems."""
    path = Path(entry.replace("\\", "/"))
    return packed_stem(path) or (path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name)
