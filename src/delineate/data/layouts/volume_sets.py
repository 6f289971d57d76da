"""A folder of NIfTI volumes with their label volumes, by the same words and rules as pictures."""

from __future__ import annotations

from pathlib import Path

from delineate.data.core.findings import raise_errors
from delineate.data.core.words import Role
from delineate.data.formats.registry import reads_volume
from delineate.data.layouts.discover import Match
from delineate.data.layouts.groups import with_groups
from delineate.data.layouts.pictures import find_pictures
from delineate.data.layouts.roles import assign
from delineate.data.layouts.selection import select
from delineate.data.layouts.split_lists import apply_lists
from delineate.data.layouts.tree import walk

LAYOUT = "NIfTI volumes"


def holds_volumes(folder: Path) -> bool:
    """Whether a folder holds NIfTI volumes as a data set: images and labels beside each other, or a folder of images."""
    if not folder.is_dir():
        return False
    items = assign([file for file in walk(folder.resolve()).volumes if reads_volume(file.path)])
    roles = {item.role for item in items}
    return Role.IMAGE in roles or {Role.NONE, Role.MASK} <= roles


def find_volumes(folder: Path, images: str | None = None, masks: str | None = None) -> Match | None:
    """The cases of a folder of volumes, with faults as findings and with the splits of its lists; None where there are none.

    Raises `DataError` as `data.layouts.discover.recognise`.
    """
    tree = walk(folder.resolve())
    tree.volumes = [file for file in tree.volumes if reads_volume(file.path)]
    if not tree.volumes:
        return None
    raise_errors(tree.findings)
    selection = select(tree, images, masks, volumes=True)
    left = selection.files
    items = selection.with_others(assign([file for file in tree.volumes if file not in left]))
    found = find_pictures(items, selection.root)
    if found is None:
        return None
    cases, findings, origin = found.cases, found.findings, found.split_origin
    if not origin:
        cases, faults = apply_lists(tree.root, cases)
        findings = findings + faults
        origin = "files" if any(case.split for case in cases) else ""
    cases, grouping, _ = with_groups(cases)
    return Match(LAYOUT, cases, findings, origin, grouping, selection.root)
