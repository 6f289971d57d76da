"""Outlines of a mask as GeoJSON, which QuPath and other viewers of slides open: one feature for each connected part."""

from __future__ import annotations

import json
from pathlib import Path

from delineate.common.files import atomic_path
from delineate.data.core.manifest import ClassTable
from delineate.inference.outlines import Outlines, Ring
from delineate.inference.overlay import CLASS_COLORS, foreground_colors

__all__ = ["write_geojson"]


def write_geojson(path: Path, outlines: Outlines, classes: ClassTable, zoom: tuple[float, float] = (1.0, 1.0)) -> int:
    """Write a file feature by feature, atomically; returns how many there are.

    `zoom`: by which rows and columns of the mask become those of the picture's largest level.
    """
    colors = [CLASS_COLORS[0]] if len(classes.names) == 2 else foreground_colors(classes)
    number = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write('{"type": "FeatureCollection", "features": [')
        for index, polygon in outlines.polygons():
            named = {"name": classes.names[index], "color": list(colors[index - 1])}
            feature = {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [_closed(ring, zoom) for ring in polygon]},
                "properties": {"objectType": "annotation", "classification": named},
            }
            stream.write((",\n" if number else "\n") + json.dumps(feature, ensure_ascii=False, allow_nan=False))
            number += 1
        stream.write("\n]}\n")
    return number


def _closed(ring: Ring, zoom: tuple[float, float]) -> list[list[float]]:
    down, across = zoom
    scaled = ring if zoom == (1.0, 1.0) else [(round(x * across, 3), round(y * down, 3)) for x, y in ring]
    return [list(place) for place in (*scaled, scaled[0])]
