"""labelme's JSON: one file for each image, with polygons, rectangles, circles and small masks, each with the name of its class.

The programs after it (X-AnyLabeling, AnyLabeling) write the same.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from delineate.common.errors import DataError
from delineate.data.formats.annotations.outlines import (
    Bitmap,
    Circle,
    Outline,
    Segment,
    checked_points,
    rectangle,
)
from delineate.data.formats.annotations.parsed import read_json_file
from delineate.data.formats.annotations.shapes import Shape, ShapesOf

__all__ = ["EMBEDDED", "KIND", "embedded_image", "parse_labelme"]

KIND = "labelme"
EMBEDDED = "image"
"""The kind of address under which a file's own image lies."""
_NO_AREA = ("point", "points", "line", "linestrip")
"""Kinds of shapes that mark no area."""


def _looks_like_labelme(content: Any) -> bool:
    """Whether a JSON's content is that of a labelme file."""
    return isinstance(content, Mapping) and isinstance(content.get("shapes"), list)


def parse_labelme(path: Path) -> ShapesOf:
    """Read a file. Raises `DataError` naming it, and the shape that is wrong."""
    content = read_json_file(path)
    if not _looks_like_labelme(content):
        raise DataError(f"{path} is no file of labelme: it has no list 'shapes'")
    height, width = content.get("imageHeight"), content.get("imageWidth")
    known = all(isinstance(each, int) and each > 0 for each in (height, width))
    shapes = []
    for number, one in enumerate(content["shapes"], start=1):
        try:
            shapes.append(_shape(one))
        except (ValueError, TypeError, KeyError, OverflowError, binascii.Error, cv2.error) as error:
            raise DataError(f"{path}: shape {number} has {error}; mend or remove it") from error
    image = content.get("imagePath")
    return ShapesOf(
        path,
        KIND,
        image if isinstance(image, str) else "",
        shapes,
        (height, width) if known else None,
        embedded=bool(content.get("imageData")),
    )


def embedded_image(path: Path) -> bytes:
    """The bytes of the image that a file holds. Raises `DataError` where it holds none."""
    content = read_json_file(path)
    data = content.get("imageData") if isinstance(content, Mapping) else None
    try:
        return base64.b64decode(data or "", validate=True) or _nothing(path)
    except (ValueError, TypeError, binascii.Error) as error:
        raise DataError(f"{path} holds an image (imageData) that cannot be decoded; put the image beside it") from error


def _nothing(path: Path) -> bytes:
    raise DataError(f"{path} holds no image (imageData); put the image beside it")


def _shape(one: Any) -> Shape:
    """Raises what converting raises on what is no shape, with words that follow 'has'."""
    if not isinstance(one, Mapping) or not isinstance(one.get("label"), str) or not one["label"].strip():
        raise ValueError("no label")
    kind = one.get("shape_type") or "polygon"
    name = one["label"].strip()
    if kind in _NO_AREA:
        return Shape(name, kind, None)
    points = checked_points(np.asarray(one["points"], np.float64).reshape(-1, 2))
    return Shape(name, kind, _segment(kind, points, one))


def _segment(kind: str, points: np.ndarray[Any, np.dtype[np.float64]], one: Mapping[str, Any]) -> Segment:
    if kind == "rectangle" and len(points) == 2:
        return rectangle(*points.ravel())
    if kind == "circle" and len(points) == 2:
        (x, y), (rim_x, rim_y) = points
        return Circle(x, y, math.hypot(rim_x - x, rim_y - y))
    if kind == "mask":
        return _bitmap(points, one.get("mask"))
    if kind in ("polygon", "rectangle", "rotation", "oriented_rectangle") and len(points) > 2:
        return Outline(points)
    if kind in ("polygon", "rectangle", "circle", "rotation", "oriented_rectangle"):
        raise ValueError(f"{len(points)} points, too few for a {kind}")
    raise ValueError(f"the kind '{kind}', which is not read (polygon, rectangle, circle and mask are)")


def _bitmap(points: np.ndarray[Any, np.dtype[np.float64]], mask: Any) -> Bitmap:
    """A picture in the file, whose first pixel lies at the first point."""
    content = np.frombuffer(base64.b64decode(mask if isinstance(mask, str) else "", validate=True), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if pixels is None or pixels.ndim != 2 or len(points) != 2:
        raise ValueError("a mask that cannot be decoded")
    left, top = np.floor(points.min(axis=0)).astype(int)
    return Bitmap(int(top), int(left), pixels > 0)
