"""Folders and files of a data set that are not used: always named, so that nobody wonders what was read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.words import Role, folder_word
from delineate.data.formats.registry import reads_volume
from delineate.data.layouts.pictures import Pictures
from delineate.data.layouts.split_lists import NESTED, has_lists
from delineate.data.layouts.tree import File, Tree
from delineate.data.layouts.unread import tables_of

__all__ = ["unused"]

_WORDS = {
    Role.RATER: " (second observer)",
    Role.INSTANCES: " (instance maps)",
}
_LISTS = "imagesets"
"""Where Pascal VOC keeps its lists of names."""
_SHOWN = 8
_OFTEN = 3
"""Folders of one name in more places than these are told as one."""


def unused(tree: Tree, found: Pictures, bare: Sequence[File], volumes: bool) -> list[Finding]:
    """A note that names the folders in which nothing is used, and one for files beside those that are. `volumes`: whether the
    set is one of volumes, so that others of them are told, too."""
    used = found.used | {item.path for item in (*found.images, *found.masks)} | {file.path for file in bare}
    above = {folder for path in used for folder in path.parents}
    idle: dict[tuple[str, ...], None] = {}
    for parts in tree.folders:
        lists = parts[-1].lower() == _LISTS or (len(parts) > 1 and parts[-2].lower() == _LISTS)
        lists = lists or (len(parts) == 1 and parts[0].lower() in NESTED and bool(has_lists(tree.root / parts[0])))
        if tree.root.joinpath(*parts) not in above and not lists and not _inside(parts, idle):
            idle[parts] = None
    findings = []
    if idle:
        rivals = {item.path.parent for item in found.rivals}
        names = _named(tree.root, list(idle), rivals)
        findings.append(Finding("note", f"folders that are not used: {some(names, _SHOWN)}"))
    files = [*tree.images, *(tree.volumes if volumes else ())]
    over = [file.path for file in files if file.path not in used and not _inside(file.parts, idle)]
    if over:
        text = some([path.relative_to(tree.root).as_posix() for path in over], 3)
        findings.append(Finding("note", f"{count(len(over), 'image file')} not used: {text}"))
    beside = [] if volumes else [file.path for file in tree.volumes if reads_volume(file.path)]
    beside = [path for path in beside if path not in used and path.parent in above]
    if beside:
        shown = some([path.relative_to(tree.root).as_posix() for path in beside], 3)
        text = f"{count(len(beside), 'volume')} beside the pictures not used: {shown}"
        findings.append(Finding("warning", text, "pictures and volumes are sets of their own: give each its folder"))
    return findings + _tables(tree)


def _tables(tree: Tree) -> list[Finding]:
    """Tables that the folders' names were taken before: a warning where one says what they do not."""
    findings = []
    for path, columns in tables_of(tree).items():
        more = sorted(columns & {"split", "group", "patient", "subject"})
        text = f"{path.name} lists images and masks{f', with a {more[0]} for each' if more else ''}, and is not used"
        findings.append(
            Finding("warning" if more else "note", text, f"give {path} in place of the folder if it is to hold")
        )
    return findings


def _inside(parts: tuple[str, ...], idle: Mapping[tuple[str, ...], None]) -> bool:
    return any(parts[:depth] in idle for depth in range(1, len(parts) + 1))


def _named(root: Path, idle: Sequence[tuple[str, ...]], rivals: set[Path]) -> list[str]:
    """The folders with what they are; those of one name in many places as one."""
    groups: dict[tuple[int, str], list[tuple[str, ...]]] = defaultdict(list)
    for parts in idle:
        groups[len(parts), parts[-1]].append(parts)
    names = []
    for (depth, name), members in groups.items():
        many = depth > 1 and len(members) > _OFTEN
        word = folder_word(name)
        what = _WORDS.get(word.role, "")
        if word.role is Role.IMAGE and word.split == "test":
            what = " (images without masks; `predict` takes the folder)"
        if any(root.joinpath(*parts) in rivals for parts in members):
            what = " (masks of the same images)"
        texts = [f"*/{name} ({len(members)} folders)"] if many else ["/".join(parts) for parts in members]
        names += [f"{text}{what}" for text in texts]
    return names
