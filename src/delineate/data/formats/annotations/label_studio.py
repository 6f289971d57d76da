"""Label Studio's JSON export: a list of tasks with polygons and ellipses, in percent of the image's size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from delineate.common.errors import DataError
from delineate.data.formats.annotations.outlines import Segment, Size, checked_points, polygon
from delineate.data.formats.annotations.parsed import Parsed, read_json_file
from delineate.data.formats.annotations.shapes import Shape, ShapesOf, ellipse

__all__ = ["KIND", "looks_like_label_studio", "read_label_studio"]

KIND = "labelstudio"
_NO_AREA = ("keypointlabels", "keypoint", "vectorlabels")
_BRUSH = "a painted mask, which its JSON holds in a form of its own: export 'Brush labels to PNG', or outlines"


def looks_like_label_studio(content: Any) -> bool:
    """Whether a JSON's content is a list of tasks with annotations."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(
            isinstance(one, Mapping) and isinstance(one.get("annotations"), list) and "data" in one for one in content
        )
    )


def _parse_label_studio(path: Path) -> list[ShapesOf]:
    """What a file says of its images. Raises `DataError` naming the file, and the task that is wrong."""
    content = read_json_file(path)
    if not looks_like_label_studio(content):
        raise DataError(f"{path} is no list of tasks of Label Studio")
    found = []
    for task in content:
        try:
            found.append(_task(path, task))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
            raise DataError(f"{path}: task {task.get('id')} has {error}; mend or remove it") from error
    return found


read_label_studio = Parsed(_parse_label_studio)
"""`_parse_label_studio`, once for each file."""


def _task(path: Path, task: Mapping[str, Any]) -> ShapesOf:
    kept = [one for one in task["annotations"] if not one.get("was_cancelled")]
    if len(kept) > 1:
        raise ValueError(f"{len(kept)} annotations; keep the one that holds")
    results = [one for one in (kept[0]["result"] if kept else []) if isinstance(one.get("value"), Mapping)]
    sizes = {(int(one["original_height"]), int(one["original_width"])) for one in results if one.get("original_height")}
    if len(sizes) > 1:
        raise ValueError("images of several sizes; export one image a task")
    size = sizes.pop() if sizes else None
    if size is not None and min(size) < 1:
        raise ValueError(f"a size of {size[1]}×{size[0]}")
    shapes = [_shape(one, size) for one in results if str(one.get("type", "")) != "choices"]
    return ShapesOf(path, KIND, _image(task), shapes, size, key=str(task.get("id")), seen=bool(kept))


def _image(task: Mapping[str, Any]) -> str:
    """The one text among the task's data that is a path of an image: in a field of that name, or the only one."""
    texts = {name: value for name, value in task["data"].items() if isinstance(value, str)}
    named = [value for name, value in texts.items() if name in ("image", "img", "photo")] or list(texts.values())
    if len(named) != 1:
        raise ValueError("no one image among its data")
    return named[0].partition("?d=")[2] or named[0]


def _shape(one: Mapping[str, Any], size: Size | None) -> Shape:
    kind, value = str(one.get("type", "")), one["value"]
    if "brush" in kind or "rle" in value:
        raise ValueError(_BRUSH)
    names = value.get(kind) or []
    if len(names) != 1:
        raise ValueError(f"a {kind or 'shape'} with {len(names)} labels, not one")
    name = str(names[0]).strip()
    if kind in _NO_AREA:
        return Shape(name, kind, None)
    if size is None:
        raise ValueError("no original_width and original_height")
    return Shape(name, kind, _segment(kind, value, size))


def _segment(kind: str, value: Mapping[str, Any], size: Size) -> Segment:
    percent = np.array([size[1], size[0]], np.float64) / 100
    if kind == "polygonlabels":
        return polygon(np.asarray(value["points"], np.float64).reshape(-1, 2) * percent)
    if kind == "ellipselabels":
        numbers = [value[key] for key in ("x", "y", "radiusX", "radiusY")]
        x, y, radius_x, radius_y = checked_points(np.asarray(numbers, np.float64) * np.tile(percent, 2))
        return ellipse(x, y, radius_x, radius_y, float(value.get("rotation") or 0))
    raise ValueError(f"the kind '{kind}', which marks no outline (polygonlabels and ellipselabels do)")
