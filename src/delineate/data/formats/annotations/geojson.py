"""GeoJSON as QuPath writes it, one file for each image: polygons with holes, in pixels of the image at its full size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats.annotations.outlines import Outline, Rings, Segment, polygon
from delineate.data.formats.annotations.parsed import Parsed, read_json_file
from delineate.data.formats.annotations.shapes import Shape, ShapesOf

__all__ = ["IGNORED_CLASS", "KIND", "UNCLASSIFIED", "looks_like_geojson", "read_geojson"]

KIND = "geojson"
UNCLASSIFIED = "annotation"
"""The class of objects without one."""
IGNORED_CLASS = "ignore*"
"""QuPath's class for what is neither one thing nor another, in small letters."""
_REGION = "region*"
"""QuPath's class for the part of a slide that was worked on, which is no structure."""
_NO_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
_NO_OBJECT = ("root", "tmaCore")
"""Kinds of objects that hold others, and mark nothing themselves."""
_TOO_FEW = 4
"""A ring's last point is its first one again."""


def looks_like_geojson(content: Any) -> bool:
    """Whether a JSON's content is a collection of features, a list of them, or a single one."""
    return _features(content) is not None


def _features(content: Any) -> list[Any] | None:
    if isinstance(content, Mapping) and content.get("type") == "FeatureCollection":
        features = content.get("features")
        return features if isinstance(features, list) else None
    features = content if isinstance(content, list) else [content]
    alike = all(isinstance(one, Mapping) and one.get("type") == "Feature" for one in features)
    return features if features and alike else None


def _parse_geojson(path: Path) -> ShapesOf:
    """Read a file. Raises `DataError` naming it, and the feature that is wrong."""
    features = _features(read_json_file(path))
    if features is None:
        raise DataError(f"{path} is no GeoJSON with a list of features; export it anew")
    shapes: list[Shape] = []
    for number, one in enumerate(features, start=1):
        try:
            shapes += _shapes(one)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise DataError(f"{path}: feature {number} has {error}; mend or remove it") from error
    return ShapesOf(path, KIND, "", shapes)


read_geojson = Parsed(_parse_geojson)
"""`_parse_geojson`, once for each file."""


def _shapes(one: Any) -> list[Shape]:
    """Raises what converting raises on what is no feature, with words that follow 'has'."""
    about = one.get("properties") or {}
    if about.get("objectType") in _NO_OBJECT:
        return []
    geometry = one.get("geometry")
    if not isinstance(geometry, Mapping):
        raise ValueError("no geometry")
    plane = geometry.get("plane") or {}
    if any(plane.get(axis) for axis in ("z", "t")):
        raise ValueError(f"an outline on another plane than the first ({dict(plane)}); export pictures of one plane")
    name, kind = _name(about), str(geometry.get("type"))
    if kind in _NO_AREA:
        return [Shape(name, kind, None)]
    if kind == "Polygon":
        return [Shape(name, kind, _polygon(geometry["coordinates"]))]
    if kind == "MultiPolygon":
        return [Shape(name, kind, _polygon(each)) for each in geometry["coordinates"]]
    raise ValueError(f"the kind '{kind}', which is not read (Polygon and MultiPolygon are)")


def _name(about: Mapping[str, Any]) -> str:
    given = about.get("classification")
    if isinstance(given, Mapping):  # a class below another has the names of both
        names = given.get("names")
        given = ": ".join(map(str, names)) if isinstance(names, list) else given.get("name")
    if given is None:
        return UNCLASSIFIED
    if not isinstance(given, str) or not given.strip():
        raise ValueError("a class without a name")
    if given.strip().lower() == _REGION:
        raise ValueError(f"the class '{given.strip()}', by which QuPath bounds what was worked on")
    return given.strip()


def _polygon(rings: Any) -> Segment:
    """A polygon from its outer ring and those of its holes."""
    found = [_ring(one) for one in rings]
    if not found:
        raise ValueError("a polygon without a ring")
    return Outline(found[0]) if len(found) == 1 else Rings(tuple(found))


def _ring(given: Any) -> NDArray[np.float64]:
    points = np.array(given, np.float64)
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError("a ring that is no list of places")
    points = points[:, :2]
    if len(points) >= _TOO_FEW and (points[0] == points[-1]).all():
        points = points[:-1]
    return polygon(points).points
