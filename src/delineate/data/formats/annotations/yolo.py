"""YOLO's text files: a line for each outline, `class x y x y x y …`, with coordinates as fractions of width and height."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.data.formats.annotations.address import AnnotationAddress
from delineate.data.formats.annotations.drawing import LARGEST, Drawing
from delineate.data.formats.annotations.outlines import Mark, Outline

__all__ = ["BOX", "KIND", "parse_yolo", "yolo_drawing"]

KIND = "yolo"
BOX = 5
"""Numbers of a line that is a box: class, center, width and height."""
_FAR = 0.1
"""An outline may leave the picture by this share of it, as those of objects at the border do; farther out it is in pixels."""


def parse_yolo(path: Path) -> list[tuple[int, np.ndarray[tuple[int, int], np.dtype[np.float64]]]]:
    """The outlines of a file: class, and N×2 corners as fractions. A file without lines has none.

    Raises `DataError` naming the file and the line: a box, what is no outline, coordinates that are no fractions.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text, as YOLO's labels are; restore or remove it") from error
    outlines = []
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if not parts:
            continue
        try:
            values = np.array([float(part) for part in parts])
        except ValueError:
            raise DataError(
                f"{path}, line {number}: '{line[:40]}' holds what is no number; mend or remove it"
            ) from None
        if len(parts) == BOX:
            raise DataError(
                f"{path}, line {number}, is a box (class, center, size), which marks no shape; export the set for segmentation, "
                "with outlines"
            )
        if len(parts) < BOX + 2 or len(parts) % 2 == 0 or not 0 <= values[0] < LARGEST or values[0] % 1:
            raise DataError(
                f"{path}, line {number}, has {len(parts)} numbers; an outline is its class and x, y of three corners or more"
            )
        points = values[1:].reshape(-1, 2)
        if not np.isfinite(points).all() or points.min() < -_FAR or points.max() > 1 + _FAR:
            raise DataError(
                f"{path}, line {number}, has coordinates from {points.min():g} to {points.max():g}; they are fractions of the "
                "image's width and height, from 0 to 1"
            )
        outlines.append((int(values[0]), points))
    return outlines


def yolo_drawing(address: AnnotationAddress) -> Drawing:
    """The outlines of one image, whose size the address tells; class 0 is value 1. A file that is not there marks nothing.

    Raises `DataError` as `parse_yolo`.
    """
    if address.size is None:
        raise DataError(f"{address} does not tell the size of its image; start from the folder anew")
    height, width = address.size
    outlines = parse_yolo(address.file) if address.file.exists() else []
    marks = [
        Mark(number + 1, (Outline(points * np.array([width, height], np.float64)),)) for number, points in outlines
    ]
    return Drawing(address.size, marks)
