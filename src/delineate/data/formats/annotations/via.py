"""The VGG Image Annotator's JSON: a project, or its annotations alone; one file for all images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.formats.annotations.outlines import Circle, Segment, checked_points, polygon, rectangle
from delineate.data.formats.annotations.parsed import Parsed, as_written_by, read_json_file
from delineate.data.formats.annotations.shapes import Shape, ShapesOf, ellipse

__all__ = ["KIND", "looks_like_via", "read_via"]

KIND = "via"
_PROJECT = "_via_img_metadata"
_CLASS = ("class", "label", "name", "type", "category")
"""Attributes that tell the class, where regions have several."""
_NO_NAME = "region"
"""The class of regions without any attribute."""


def looks_like_via(content: Any) -> bool:
    """Whether a JSON's content is a project of the annotator, or its annotations."""
    if not isinstance(content, Mapping):
        return False
    if _PROJECT in content:
        return True
    return bool(content) and all(
        isinstance(one, Mapping) and {"filename", "regions"} <= one.keys() for one in content.values()
    )


def _parse_via(path: Path) -> list[ShapesOf]:
    """What a file says of its images. Raises `DataError` naming the file, and the region that is wrong."""
    content = read_json_file(path)
    if not looks_like_via(content):
        raise DataError(f"{path} is no file of the VGG Image Annotator")
    with as_written_by("the VGG Image Annotator", path):
        entries = content.get(_PROJECT, content)
        naming = _attribute(path, entries.values())
        return [_entry(path, str(key), one, naming) for key, one in entries.items()]


read_via = Parsed(_parse_via)
"""`_parse_via`, once for each file."""


def _entry(path: Path, key: str, one: Mapping[str, Any], naming: str) -> ShapesOf:
    shapes = []
    for number, region in enumerate(_regions(one), start=1):
        try:
            shapes.append(_shape(region, naming))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: region {number} of {one['filename']} has {error}; mend or remove it") from error
    return ShapesOf(path, KIND, str(one["filename"]), shapes, key=key)


def _regions(one: Mapping[str, Any]) -> list[Any]:
    """A list, or a table by number in the annotator's first version."""
    regions = one.get("regions") or []
    return list(regions.values()) if isinstance(regions, Mapping) else list(regions)


def _attribute(path: Path, entries: Iterable[Mapping[str, Any]]) -> str:
    """The attribute of regions that tells their class; '' where they have none. Raises `DataError` where several could be meant."""
    names: dict[str, None] = {}
    for one in entries:
        for region in _regions(one):
            names.update(dict.fromkeys((region.get("region_attributes") or {}) if isinstance(region, Mapping) else {}))
    if len(names) < 2:
        return next(iter(names), "")
    telling = [name for name in names if name.lower() in _CLASS]
    if len(telling) != 1:
        raise DataError(
            f"{path}: regions have the attributes {some(list(names))}; which is the class? Call it 'class', or remove the others"
        )
    return telling[0]


def _shape(region: Any, naming: str) -> Shape:
    where = region["shape_attributes"]
    kind = str(where.get("name"))
    name = _name((region.get("region_attributes") or {}).get(naming), naming)
    return Shape(name, kind, _segment(kind, where))


def _name(value: Any, naming: str) -> str:
    """A text, or the one box that is ticked."""
    if not naming:
        return _NO_NAME
    if isinstance(value, Mapping):
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no one '{naming}'")
    return value.strip()


def _segment(kind: str, where: Mapping[str, Any]) -> Segment | None:
    if kind in ("point", "polyline", "line"):
        return None
    if kind in ("polygon", "rect", "circle", "ellipse"):
        numbers = {key: np.asarray(value, np.float64) for key, value in where.items() if key != "name"}
        checked_points(np.concatenate([value.ravel() for value in numbers.values()]))
    if kind == "polygon":
        return polygon(np.stack([numbers["all_points_x"], numbers["all_points_y"]], axis=1))
    if kind == "rect":
        x, y = float(numbers["x"]), float(numbers["y"])
        return rectangle(x, y, x + float(numbers["width"]), y + float(numbers["height"]))
    if kind == "circle":
        return Circle(float(numbers["cx"]), float(numbers["cy"]), float(numbers["r"]))
    if kind == "ellipse":
        x, y, radius_x, radius_y = (float(numbers[key]) for key in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, radius_x, radius_y, math.degrees(float(numbers.get("theta", 0))))
    raise ValueError(f"the kind '{kind}', which is not read (polygon, rect, circle and ellipse are)")
