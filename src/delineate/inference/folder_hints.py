"""Advice for a folder that holds no images itself: sub-folders or a pattern that match its images and no masks."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from delineate.data.core.findings import some
from delineate.data.core.words import Role
from delineate.data.formats.registry import reads_image
from delineate.data.layouts.choice import quoted
from delineate.data.layouts.roles import Item, assign
from delineate.data.layouts.tree import Tree

__all__ = ["where_images_are"]

_MOST = 3
"""Folders that are named one by one."""


def where_images_are(folder: Path, tree: Tree) -> str:
    """The words after "FOLDER itself holds no images, ". Every advice was tried on the files before."""
    items = [item for item in assign(tree.images) if item.role in (Role.NONE, Role.IMAGE)]
    named = [item for item in items if item.role is Role.IMAGE]
    masks = len(items) < len(tree.images)
    images = named if named and masks else items
    if not images:
        return f"only what looks like masks ({some([file.path.name for file in tree.images], 3)}); give the files themselves"
    parents = sorted({item.path.parent for item in images})
    shown = some([str(path.relative_to(tree.root)) for path in parents], _MOST)
    words = f"its sub-folders do ({shown}); give "
    if len(parents) <= _MOST and all(_alone(parent, images) for parent in parents):
        return words + " ".join(quoted(str(folder / path.relative_to(tree.root))) for path in parents)
    wanted = {os.path.realpath(item.path) for item in images}
    for pattern in _patterns(folder, images):
        if _matches(pattern) == wanted:
            return f"{words}the pattern '{pattern}'"
    return f"{words}the folder with --split all, which leaves the masks out"


def _alone(parent: Path, images: Sequence[Item]) -> bool:
    """Whether a folder's image files are the images, and nothing else."""
    inside = {path for path in parent.iterdir() if reads_image(path) and path.name[0] != "."}
    return inside == {item.path for item in images if item.path.parent == parent}


def _patterns(folder: Path, images: Sequence[Item]) -> Iterator[str]:
    """Patterns from the loosest on: everything, by depth with the names that all share, by the folder that tells the role."""
    start = Path(glob.escape(str(folder)))
    yield str(start / "**" / "*")
    depths = {len(item.file.parts) for item in images}
    if len(depths) == 1:
        levels = [{item.path.parts[-at] for item in images} for at in range(depths.pop() + 1, 1, -1)]
        names = [glob.escape(next(iter(level))) if len(level) == 1 else "*" for level in levels]
        yield str(start.joinpath(*names, "*"))
        suffixes = {item.path.suffix for item in images}
        if len(suffixes) == 1:
            yield str(start.joinpath(*names, f"*{suffixes.pop()}"))
    tellers = {item.folder for item in images}
    if len(tellers) == 1 and "" not in tellers:
        name = glob.escape(tellers.pop())
        yield str(start / "**" / name / "**" / "*")
        yield str(start / "**" / name / "*")


def _matches(pattern: str) -> set[str]:
    paths = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute patterns
    return {os.path.realpath(path) for path in paths if path.is_file() and reads_image(path)}
