"""CVAT's own XML ("CVAT for images"): polygons, ellipses and masks with their names, one file for all images."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from delineate.common.errors import DataError
from delineate.data.formats.annotations.outlines import Bitmap, Segment, checked_points, polygon
from delineate.data.formats.annotations.parsed import Parsed
from delineate.data.formats.annotations.shapes import Shape, ShapesOf, ellipse

__all__ = ["KIND", "looks_like_cvat", "read_cvat"]

KIND = "cvat"
_SHAPES = ("polygon", "ellipse", "mask", "box", "cuboid", "polyline", "points", "skeleton")
_NO_AREA = ("polyline", "points", "skeleton")


def looks_like_cvat(content: bytes) -> bool:
    """Whether a file's first bytes are those of CVAT's XML."""
    return b"<annotations>" in content


def _parse_cvat(path: Path) -> list[ShapesOf]:
    """What a file says of its images. Raises `DataError` naming the file, and the shape that is wrong; for tracks of a video."""
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content[:4096]:
            raise DataError(f"{path} defines a document type, as CVAT's files do not; restore the file")
        root = ElementTree.fromstring(content)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is no XML that can be read: {error}") from error
    if root.tag != "annotations" or root.find("track") is not None:
        raise DataError(
            f"{path} holds tracks of a video, or no annotations; export the frames as 'CVAT for images' or as COCO"
        )
    return [_image(path, element) for element in root.iter("image")]


read_cvat = Parsed(_parse_cvat)
"""`_parse_cvat`, once for each file."""


def _image(path: Path, element: ElementTree.Element) -> ShapesOf:
    name = element.get("name", "")
    try:
        size = int(element.get("height", "")), int(element.get("width", ""))
        if not name or min(size) < 1:
            raise ValueError
    except ValueError:
        raise DataError(
            f"{path}: an image ({name or 'without name'}) has no name, width or height; export it anew"
        ) from None
    children = [child for child in element if child.tag in _SHAPES]
    shapes = []
    # The order of the file is that of drawing, unless CVAT says which shape lies higher.
    for child in sorted(children, key=lambda child: int(child.get("z_order") or 0)):
        try:
            shapes.append(Shape(_label(child), child.tag, _segment(child)))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: a {child.tag} of {name} has {error}; mend or remove it") from error
    return ShapesOf(path, KIND, name, shapes, size, key=name, split=element.get("subset") or "")


def _label(element: ElementTree.Element) -> str:
    name = (element.get("label") or "").strip()
    if not name:
        raise ValueError("no label")
    return name


def _segment(element: ElementTree.Element) -> Segment | None:
    if element.tag in _NO_AREA:
        return None
    if element.tag == "polygon":
        pairs = [pair.split(",") for pair in (element.get("points") or "").split(";")]
        return polygon(np.array(pairs, np.float64).reshape(-1, 2))
    if element.tag == "ellipse":
        numbers = [float(element.get(key) or "nan") for key in ("cx", "cy", "rx", "ry")]
        x, y, radius_x, radius_y = checked_points(np.array(numbers)).tolist()
        return ellipse(x, y, radius_x, radius_y, float(element.get("rotation") or 0))
    if element.tag == "mask":
        return _bitmap(element)
    raise ValueError("no outline: a box marks no shape")


def _bitmap(element: ElementTree.Element) -> Bitmap:
    """Run lengths of a part of the picture, row by row, 0 first."""
    left, top, width, height = (int(element.get(key) or "") for key in ("left", "top", "width", "height"))
    runs = [int(part) for part in (element.get("rle") or "").split(",")]
    if min(runs) < 0 or min(width, height) < 1 or sum(runs) != width * height:
        raise ValueError(f"run lengths that do not fill its {width}×{height} pixels")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return Bitmap(top, left, values.reshape(height, width))
