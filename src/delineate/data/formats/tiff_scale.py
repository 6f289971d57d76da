"""How large the pixels of a TIFF picture are: by OME-XML, ImageJ's description, Aperio's, or the tags of resolution.

Cameras and drawing programs write a resolution for printers, 72 to 1200 dots in an inch. It says nothing of the object, so tags
count only where pixels come out smaller than those of any printer.
"""

from __future__ import annotations

import re
from math import isfinite

from delineate.data.formats.tiff_directory import Directory

__all__ = ["microns_of"]

_PRINTED = 20.0
"""Micrometers: from here on a pixel may be a dot of a printer (1200 in an inch are 21)."""
_APERIO = re.compile(rb"\bMPP\s*=\s*([0-9.]+)")


def microns_of(directory: Directory) -> tuple[float, float] | None:
    """Distances of rows and of columns in µm; None where the file does not tell, or tells what cannot be."""
    across, down, _ = directory.description.distances(directory.per_unit)
    if across is not None and down is not None:
        return _usable(down * 1000, across * 1000)
    if directory.text.startswith(b"Aperio") and (found := _APERIO.search(directory.text)):
        size = float(found[1]) if found[1].count(b".") <= 1 and found[1] != b"." else 0.0
        return _usable(size, size)
    if directory.per_unit is None or directory.unit is None:
        return None
    columns, rows = (1000 * directory.unit / number for number in directory.per_unit)
    return _usable(rows, columns) if max(rows, columns) < _PRINTED else None


def _usable(rows: float, columns: float) -> tuple[float, float] | None:
    return (rows, columns) if all(isfinite(size) and size > 0 for size in (rows, columns)) else None
