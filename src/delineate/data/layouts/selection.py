"""What `--images` and `--masks` name: a folder of that name inside the data set, a path, or a pattern."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.findings import some
from delineate.data.core.words import Role, normal
from delineate.data.formats.registry import what_is_read
from delineate.data.layouts.roles import Item, as_role
from delineate.data.layouts.tree import File, Tree, walk

__all__ = ["Selection", "select"]


@dataclass
class Selection:
    """The files that the user has named, with their roles."""

    root: Path
    """What holds the data set's folder and all that was named."""
    items: list[Item] = field(default_factory=list)
    given: bool = False
    classes: dict[Path, str] = field(default_factory=dict)
    """Mask → the name of its class, where the user says so: `--masks wall=FOLDER,cavity=FOLDER`."""

    @property
    def files(self) -> set[File]:
        return {item.file for item in self.items}

    def with_others(self, items: Sequence[Item]) -> list[Item]:
        """The files named, and the others but those of a kind in whose place something was named."""
        named = {item.role for item in self.items}
        out = {Role.IMAGE, Role.NONE} if Role.IMAGE in named else set()
        out |= {Role.MASK, Role.INSTANCES} if Role.MASK in named else set()
        return [*self.items, *(item for item in items if item.role not in out)]


def select(tree: Tree, images: str | None, masks: str | None, *, volumes: bool = False) -> Selection:
    """Find what was named, among the images or else the volumes.

    Raises `DataError` for a name that nothing has, or that has no image files, and for one file as both.
    """
    selection = Selection(tree.root, given=bool(images or masks))
    among = tree.volumes if volumes else tree.images
    if images:
        selection.items += _named(tree, among, "--images", Role.IMAGE, images)
    for name, what in _by_class(tree, masks):
        found = _named(tree, among, "--masks", Role.MASK, what)
        selection.items += found
        selection.classes |= {item.path: name for item in found if name}
    both = [item for item in selection.items if item.role is Role.IMAGE]
    twice = {item.file.path for item in both} & {item.file.path for item in selection.items if item.role is Role.MASK}
    if twice:
        raise DataError(f"{min(twice)} is named as image and as mask; give --images and --masks that share no file")
    files = [*(item.path for item in selection.items), *(file.path for file in (*tree.images, *tree.volumes))]
    outside = [path for path in files if not path.is_relative_to(tree.root)]
    if outside:
        selection.root = Path(os.path.commonpath([tree.root, *(path.parent for path in outside)]))
    return selection


def _by_class(tree: Tree, masks: str | None) -> list[tuple[str, str]]:
    """The folders of masks with the names of their classes, as `wall=FOLDER,cavity=FOLDER` says; else all of them as one, without a
    name. Raises `DataError` where some have a name and others none."""
    parts = [part.partition("=") for part in masks.split(",")] if masks else []
    if not masks or not any(sign for _, sign, _ in parts) or any(masks in folder for folder in tree.folders):
        return [("", masks)] if masks else []
    bare = next((name for name, sign, what in parts if not (sign and name.strip() and what.strip())), None)
    if bare is not None:
        raise DataError(
            f"--masks: '{bare}' has no name of a class or no folder; write name=FOLDER for each, or for none"
        )
    return [(name.strip(), what.strip()) for name, _, what in parts]


def _named(tree: Tree, among: Sequence[File], flag: str, role: Role, what: str) -> list[Item]:
    try:
        found = _files(tree, among, what)
    except DataError:  # a pattern that matches nothing, which several with commas between are as a whole
        if "," not in what:
            raise
        found = None
    if found is None and "," in what:
        parts = [_files(tree, among, part.strip()) for part in what.split(",")]
        found = None if any(part is None for part in parts) else [each for part in parts if part for each in part]
    if found is None:
        folders = sorted({parts[-1] for parts in tree.folders})
        raise DataError(f"{flag}: there is no folder '{what}' in {tree.root}; {did_you_mean(what, folders)}")
    if not found:
        raise DataError(f"{flag}: {what} has no images in {tree.root}; {what_is_read()}")
    return [as_role(file, role, folder) for file, folder in dict.fromkeys(found)]


def _files(tree: Tree, among: Sequence[File], what: str) -> list[tuple[File, str]] | None:
    """The files, each with the name of the folder by which it was named ('' for none); None where nothing has that name.

    Files of one name in many folders are named by it: `seg.png`.
    """
    if glob.has_magic(what) and not (tree.root / what).exists():
        return _of_pattern(tree, among, what)
    if any(file.path.name == what for file in among):
        return [(file, "") for file in among if file.path.name == what]
    inside = normal(what.replace("\\", "/")).strip("/")
    parts = tuple(part for part in inside.split("/") if part not in ("", "."))
    depth = len(parts)
    folders = [each for each in tree.folders if each == parts] or [
        each for each in tree.folders if _same(each[-depth:], parts)
    ]
    if folders:
        chosen = set(folders)
        return [
            (file, file.parts[at - 1])
            for file in among
            for at in range(depth, len(file.parts) + 1)
            if file.parts[:at] in chosen
        ]
    outside = next((path for path in (tree.root / what, Path(what)) if path.is_dir()), None)
    return None if outside is None else _of_folder(outside.resolve(), tree, among)


def _same(one: Iterable[str], other: Iterable[str]) -> bool:
    return [name.casefold() for name in one] == [name.casefold() for name in other]


def _of_folder(folder: Path, tree: Tree, among: Sequence[File]) -> list[tuple[File, str]]:
    """The images in a folder outside of the data set's (or that folder itself: then those directly in it)."""
    if folder == tree.root:
        return [(file, "") for file in among if not file.parts]
    other = walk(folder)
    return [(file, "") for file in (other.volumes if among is tree.volumes else other.images)]


def _of_pattern(tree: Tree, among: Sequence[File], pattern: str) -> list[tuple[File, str]] | None:
    base = Path(pattern).is_absolute()
    matched = glob.glob(pattern if base else str(Path(glob.escape(str(tree.root))) / pattern), recursive=True)  # noqa: PTH207
    if not matched and not base:
        matched = glob.glob(str(Path(glob.escape(str(tree.root))) / "**" / pattern), recursive=True)  # noqa: PTH207
    if not matched:
        raise DataError(f"the pattern '{pattern}' matches nothing in {tree.root}; it has {some(_top(tree))}")
    paths = {Path(path) for path in matched}
    return [(file, "") for file in among if file.path in paths or paths & set(file.path.parents)]


def _top(tree: Tree) -> list[str]:
    names = [parts[0] + "/" for parts in tree.folders if len(parts) == 1]
    return names or [file.path.name for file in tree.images]
