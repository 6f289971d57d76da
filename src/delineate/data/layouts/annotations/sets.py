"""Which kind of outlines a folder holds, if any: COCO's, shapes with names (labelme, GeoJSON, CVAT, …), or YOLO's."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.layouts.annotations.coco_sets import coco_files, find_coco
from delineate.data.layouts.annotations.found import AnnotatedSet, Unmarked
from delineate.data.layouts.annotations.shape_sets import files_of_shapes, find_shapes
from delineate.data.layouts.annotations.yolo_sets import find_yolo, label_files
from delineate.data.layouts.tree import File, Tree

__all__ = ["find_annotated", "named_files"]

_ENDINGS = (".json", ".geojson", ".xml")


def named_files(tree: Tree, masks: str | None) -> list[Path]:
    """The files of outlines that `--masks` names by paths, folders or patterns; none where it names something else.

    Raises `DataError` for a file outside of the data set's folder.
    """
    found: list[Path] = []
    for part in (masks or "").split(","):
        name = part.strip().replace("\\", "/")
        inside = [path for path in tree.others if _is_called(path.relative_to(tree.root).as_posix(), name.strip("/"))]
        if not inside and name.lower().endswith(_ENDINGS) and (path := Path(name).resolve()).is_file():
            if path not in tree.others:
                raise DataError(
                    f"--masks: {path} lies outside of {tree.root}; give the folder that holds it and the images"
                )
            inside = [path]
        found += inside
    return [path for path in found if path.suffix.lower() in (*_ENDINGS, ".txt")]


def find_annotated(
    tree: Tree, images: Sequence[File], unmarked: Unmarked | None, named: Sequence[Path] = ()
) -> AnnotatedSet | None:
    """The cases of a folder whose masks are outlines; None where there are no such files.

    `images`: those that may be meant. `named`: the files of outlines that the user means; all of the folder's, where none is.
    Raises `DataError` for files that cannot be understood.
    """
    others = named or tree.others
    coco = coco_files([path for path in others if path.suffix.lower() == ".json"])
    if coco and images:
        return find_coco(tree.root, coco, images, unmarked)
    if shapes := files_of_shapes(others):
        return find_shapes(tree.root, shapes, images, unmarked)
    texts = label_files(tree, others, images)
    return find_yolo(tree, texts, images, unmarked) if texts else None


def _is_called(path: str, name: str) -> bool:
    """Whether a path within the data set is the one named, in a folder of that name, or one of a pattern."""
    if glob.has_magic(name):
        return fnmatch.fnmatch(path, name) or fnmatch.fnmatch(path, f"*/{name}")
    return bool(name) and (f"/{path}".endswith(f"/{name}") or f"/{name}/" in f"/{path}")
