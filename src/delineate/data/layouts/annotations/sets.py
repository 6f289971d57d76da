"""Which kind of outlines a folder holds, if any: COCO's, labelme's or YOLO's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.data.layouts.annotations.coco_sets import coco_files, find_coco
from delineate.data.layouts.annotations.found import AnnotatedSet, Unmarked
from delineate.data.layouts.annotations.labelme_sets import find_labelme, is_labelme
from delineate.data.layouts.annotations.yolo_sets import find_yolo, label_files
from delineate.data.layouts.tree import File, Tree


def named_files(tree: Tree, masks: str | None) -> list[Path]:
    """The files of outlines that `--masks` names, by their paths or their folders; none where it names something else."""
    found: list[Path] = []
    for part in (masks or "").split(","):
        name = part.strip().replace("\\", "/").strip("/")
        inside = [path for path in tree.others if _is_called(path.relative_to(tree.root).as_posix(), name)]
        outside = [Path(name)] if not inside and name.lower().endswith(".json") and Path(name).is_file() else []
        found += inside or outside
    return [path for path in found if path.suffix.lower() in (".json", ".txt")]


def find_annotated(
    tree: Tree, images: Sequence[File], unmarked: Unmarked | None, named: Sequence[Path] = ()
) -> AnnotatedSet | None:
    """The cases of a folder whose masks are outlines; None where there are no such files.

    `images`: those that may be meant. `named`: the files of outlines that the user means; all of the folder's, where none is.
    Raises `DataError` for files that cannot be understood.
    """
    others = named or tree.others
    jsons = [path for path in others if path.suffix.lower() == ".json"]
    labelme = [path for path in jsons if is_labelme(path)]
    if labelme:
        return find_labelme(tree.root, labelme, images, unmarked)
    coco = coco_files(jsons)
    if coco and images:
        return find_coco(tree.root, coco, images, unmarked)
    texts = label_files(tree, others, images)
    return find_yolo(tree, texts, images, unmarked) if texts else None


def _is_called(path: str, name: str) -> bool:
    """Whether a path within the data set is the one named, or in a folder of that name."""
    return bool(name) and (f"/{path}".endswith(f"/{name}") or f"/{name}/" in f"/{path}")
