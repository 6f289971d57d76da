"""A folder of masks for each class, as the user names them: `--masks wall=masks/wall,cavity=masks/cavity`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.label_table import classes_of
from delineate.data.core.manifest import Case, ClassTable
from delineate.data.core.words import Role
from delineate.data.formats.class_files import ClassesHandle, ClassFiles
from delineate.data.formats.registry import open_image, reads_volume
from delineate.data.layouts.pairing import Split, pair
from delineate.data.layouts.roles import Item

__all__ = ["LAYOUT", "LOOKED_AT", "called_as_images", "overlaps", "with_classes"]

LAYOUT = "a folder of masks for each class"
LOOKED_AT = 32
"""Cases in which overlaps are looked for."""
_MANY = 6
"""More classes than these are told of in one line."""


def called_as_images(items: Sequence[Item], classes: Mapping[Path, str], split: Split) -> list[Item]:
    """The items, where each mask of a class has the name and place of the image that it pairs with: `a_wall.png` → a.

    So that the masks of all classes meet at their image, although those of two classes are called in two ways.
    """
    images = [item for item in items if item.role is Role.IMAGE] or [item for item in items if item.role is Role.NONE]
    by_class: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.path in classes:
            by_class[classes[item.path]].append(item)
    moved: dict[Path, Item] = {}
    for members in by_class.values():
        for image, masks in pair(images, members, split).found:
            moved |= {mask.path: _moved(mask, image) for mask in masks}
    return [moved.get(item.path, item) for item in items]


def with_classes(
    root: Path, cases: Sequence[Case], classes: Mapping[Path, str], origin: str = "--masks"
) -> tuple[list[Case], ClassTable, list[Finding]]:
    """The cases with one mask each, of all of their classes; the table of these, and what is to be said. `origin`: who says so.

    Raises `DataError` for names that cannot be used.
    """
    names = list(dict.fromkeys(classes.values()))
    table = classes_of([(name, at) for at, name in enumerate(names, start=1)], origin)
    values = {name: at for at, name in enumerate(names, start=1)}
    made = []
    lacking: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if not case.masks:
            made.append(case)
            continue
        files = sorted(((mask, values[classes[root / mask]]) for mask in case.masks), key=lambda one: one[1])
        for name in names:
            if values[name] not in {value for _, value in files}:
                lacking[name].append(case.id)
        made.append(case.model_copy(update={"masks": (_address(files),), "raters": ()}))
        volumes = bool(made) and reads_volume(root / made[0].images[0])
    return made, table, [*_lacking(lacking), *([] if volumes else overlaps(root, made))]


def _lacking(lacking: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Classes without a file in some images, a line each; of many, one line."""
    if len(lacking) > _MANY:
        names = [f"{name} ({len(ids)})" for name, ids in lacking.items()]
        text = f"{len(names)} classes have no mask in some images, read as without them (in how many): {some(names)}"
        return [Finding("note", text)]
    return [
        Finding(
            "note",
            f"{count(len(ids), 'image has', 'images have')} no mask of {name}, read as without it: {some(ids, 3)}",
        )
        for name, ids in lacking.items()
    ]


def _moved(mask: Item, image: Item) -> Item:
    file = replace(mask.file, stem=image.stem)
    return replace(mask, file=file, kept=image.kept, rest=image.rest)


def _address(files: Sequence[tuple[str, int]]) -> str:
    folder = os.path.commonpath([str(Path(mask).parent) for mask, _ in files]) or "."
    return str(
        ClassFiles(Path(folder), tuple((Path(mask).relative_to(folder).as_posix(), value) for mask, value in files))
    )


def overlaps(root: Path, cases: Sequence[Case], most: int = LOOKED_AT) -> list[Finding]:
    """A note of masks of different classes that share pixels, in the first cases. Decodes their masks: of volumes, only the data
    check takes that time."""
    several = [case for case in cases if case.masks and case.masks[0].count("=") > 1]
    looked = several[:most]
    hit = []
    for case in looked:
        try:
            handle = open_image(root / case.masks[0])
        except DataError:
            return []  # what cannot be read is told where it is read for good
        if isinstance(handle, ClassesHandle) and handle.overlapping:
            hit.append(case.id)
    if not hit:
        return []
    text = f"masks of different classes overlap in {count(len(hit), 'image')} of {len(looked)} looked at"
    return [Finding("note", f"{text} ({some(hit, 3)}): the class named later is on top")]
