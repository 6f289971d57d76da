"""Shapes with the names of their classes, as labelme, CVAT's XML, the VGG Image Annotator and Label Studio keep them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.data.formats.annotations.address import AnnotationAddress, size_word
from delineate.data.formats.annotations.drawing import Drawing
from delineate.data.formats.annotations.outlines import Mark, Outline, Segment, Size

__all__ = ["Shape", "ShapesOf", "ellipse", "shapes_drawing"]

_CORNERS = 180
"""Of the polygon that stands for an ellipse: it lies less than a fifth of a pixel inside of one of 1000 pixels."""


@dataclass(frozen=True)
class Shape:
    """An object as a file has it. `segment`: None for one that marks no area, such as a point."""

    name: str
    kind: str
    segment: Segment | None


@dataclass(frozen=True)
class ShapesOf:
    """What a file says of one image."""

    path: Path
    kind: str
    """Of the file, as addresses call it."""
    image: str
    """The path of the image as it is written; '' where the file does not tell."""
    shapes: Sequence[Shape]
    """The lowest first."""
    size: Size | None = None
    key: str = ""
    """By which the image is found in a file of several."""
    split: str = ""
    """What the file calls the part that the image is of."""
    embedded: bool = False
    """Whether the file holds the image, too."""
    seen: bool = True
    """Whether the file says that somebody has looked at the image."""

    @property
    def marked(self) -> bool:
        """Whether any of the shapes marks an area."""
        return any(shape.segment is not None for shape in self.shapes)

    def address(self, root: Path, values: Mapping[str, int], size: Size | None = None) -> AnnotationAddress:
        """Where the mask lies, with the values of the names that it has. `size`: of the image, where the file does not tell."""
        names = sorted({shape.name for shape in self.shapes if shape.name in values})
        words = [self.key] if self.key else []
        words += [] if self.size or size is None else [size_word(size)]
        known = tuple((name, values[name]) for name in names)
        return AnnotationAddress(self.path.relative_to(root), self.kind, tuple(words), known)

    def drawn(self, values: Mapping[str, int], size: Size | None = None) -> Drawing:
        """The marks. Raises `DataError` for a name without a value, and where nothing tells the size."""
        size = self.size or size
        if size is None:
            raise DataError(f"{self.path} does not tell the size of its image; add it")
        marks = []
        for shape in self.shapes:
            if shape.segment is None:
                continue
            if shape.name not in values:
                raise DataError(f"{self.path} has the class '{shape.name}', which is new; start from the folder anew")
            marks.append(Mark(values[shape.name], (shape.segment,), shape.name))
        return Drawing(size, marks)


def shapes_drawing(address: AnnotationAddress, entries: Sequence[ShapesOf]) -> Drawing:
    """The marks of the image that an address means, by its values. Raises `DataError` as `ShapesOf.drawn`; or there is none."""
    words = [word for word in address.words if word != size_word(address.size or (0, 0))]
    key = words[0] if words else ""
    entry = next((one for one in entries if one.key == key), None)
    if entry is None:
        raise DataError(f"{address.file} lists no image {key}; restore the file or start from the folder anew")
    return entry.drawn(dict(address.values), address.size)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0) -> Outline:
    """An ellipse, turned clockwise, as a polygon."""
    angles = np.arange(_CORNERS) * (2 * math.pi / _CORNERS)
    along, across = radius_x * np.cos(angles), radius_y * np.sin(angles)
    turn = math.radians(degrees)
    columns = x + along * math.cos(turn) - across * math.sin(turn)
    rows = y + along * math.sin(turn) + across * math.cos(turn)
    return Outline(np.stack([columns, rows], axis=1))
