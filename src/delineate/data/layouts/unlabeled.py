"""Training images without masks, in a folder of that name: which they are, and as cases.

They are for training alone, and only for methods and strategies that learn from them (`uses_unlabeled` of their `info`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case
from delineate.data.core.naming import unique_names
from delineate.data.core.words import Role, folder_word, is_unlabeled
from delineate.data.layouts.tree import File

__all__ = ["add_unlabeled", "unlabeled_files"]


def unlabeled_files(files: Sequence[File]) -> list[File]:
    """Those in a folder `unlabeled`, but for what lies there in folders of masks and the like, and for parts to test on."""
    found = []
    for file in files:
        at = next((at for at, name in enumerate(file.parts) if is_unlabeled(name)), None)
        if at is None:
            continue
        words = [folder_word(name) for name in file.parts]
        tested = any(word.split in ("val", "test") for word in words[:at])
        if not tested and all(word.role in (Role.NONE, Role.IMAGE) for word in words[at:]):
            found.append(file)
    return found


def add_unlabeled(root: Path, files: Sequence[File], cases: Sequence[Case]) -> tuple[list[Case], list[Finding]]:
    """The cases, and those of the files in folders `unlabeled`; a note of how many. For training where the others have splits."""
    if not files:
        return list(cases), []
    taken = {case.id for case in cases}
    splits = any(case.split for case in cases)
    names = unique_names([(file.stem, tuple(part for part in file.parts if not is_unlabeled(part))) for file in files])
    added = [
        Case(
            id=f"unlabeled_{name}" if name in taken else name,
            images=(file.path.relative_to(root).as_posix(),),
            split="train" if splits else None,
        )
        for file, name in zip(files, names, strict=True)
    ]
    folder = next(each for each in files[0].path.parents if is_unlabeled(each.name))
    findings = [Finding("note", f"{count(len(added), 'training image')} without masks in {folder}")]
    stems = Counter((file.parts, file.stem) for file in files)
    twice = sorted(stem for (_, stem), number in stems.items() if number > 1)
    if twice:
        text = f"{count(len(twice), 'name occurs', 'names occur')} twice in {folder}: {some(twice)}"
        findings.append(Finding("error", text, "keep one file of each"))
    return [*cases, *added], findings
