"""Training images without masks, in a folder of that name: which they are, and as cases.

They are for training alone, and only for methods and strategies that learn from them (`uses_unlabeled` of their `info`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case
from delineate.data.core.naming import unique_names
from delineate.data.core.words import Role, folder_word, is_unlabeled
from delineate.data.layouts.channel_files import by_channels
from delineate.data.layouts.description import describe
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


def add_unlabeled(
    root: Path, files: Sequence[File], cases: Sequence[Case], channels: Sequence[str] = ()
) -> tuple[list[Case], list[Finding]]:
    """The cases, and those of the files in folders `unlabeled`; a note of how many. For training where the others have splits.

    `channels`: names of those that the others' images have in files or frames of their own.
    """
    if not files:
        return list(cases), []
    taken = {case.id for case in cases}
    splits = any(case.split for case in cases)
    images = (
        _with_channels(root, files, channels) if channels else [(file.stem, file.parts, [file.path]) for file in files]
    )
    names = unique_names([(stem, tuple(part for part in parts if not is_unlabeled(part))) for stem, parts, _ in images])
    added = [
        Case(
            id=f"unlabeled_{name}" if name in taken else name,
            images=tuple(path.relative_to(root).as_posix() for path in paths),
            split="train" if splits else None,
        )
        for (_, _, paths), name in zip(images, names, strict=True)
    ]
    folder = next(each for each in files[0].path.parents if is_unlabeled(each.name))
    findings = [Finding("note", f"{count(len(added), 'training image')} without masks in {folder}")]
    stems = Counter((file.parts, file.stem) for file in files)
    twice = sorted(stem for (_, stem), number in stems.items() if number > 1)
    if twice:
        text = f"{count(len(twice), 'name occurs', 'names occur')} twice in {folder}: {some(twice)}"
        findings.append(Finding("error", text, "keep one file of each"))
    return [*cases, *added], findings


def _with_channels(
    root: Path, files: Sequence[File], channels: Sequence[str]
) -> list[tuple[str, tuple[str, ...], list[Path]]]:
    """Name, folders and files of images with channels. Raises `DataError` for one that has others."""
    found = []
    for image in by_channels(files, describe(root)):
        paths = {name.casefold(): path for name, path in image.files}
        if set(paths) != {name.casefold() for name in channels}:
            raise DataError(
                f"{image.files[0][1]}: this image has no mask and the channels {', '.join(image.names)}, but those with masks have "
                f"{', '.join(channels)}; name its files alike, or move it away"
            )
        found.append((*image.key, [paths[name.casefold()] for name in channels]))
    return found
