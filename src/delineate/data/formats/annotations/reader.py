"""Masks of labeling tools as a format: each has an address in a file of outlines, and is drawn when its pixels are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.annotations import coco, cvat, geojson, label_studio, labelme, via, yolo
from delineate.data.formats.annotations.address import NOTHING, AnnotationAddress
from delineate.data.formats.annotations.drawing import Drawing
from delineate.data.formats.annotations.outlines import Part, boxes_of, mask_type, painted
from delineate.data.formats.annotations.shapes import shapes_drawing
from delineate.data.formats.composed_mask import ComposedMask
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle, Kind, Reader
from delineate.data.formats.pictures import PictureHandle

__all__ = ["Annotations"]

_DRAWINGS: Mapping[str, Callable[[AnnotationAddress], Drawing]] = {
    coco.KIND: coco.coco_drawing,
    labelme.KIND: lambda address: shapes_drawing(address, [labelme.parse_labelme(address.file)]),
    geojson.KIND: lambda address: shapes_drawing(address, [geojson.read_geojson(address.file)]),
    via.KIND: lambda address: shapes_drawing(address, via.read_via(address.file)),
    cvat.KIND: lambda address: shapes_drawing(address, cvat.read_cvat(address.file)),
    label_studio.KIND: lambda address: shapes_drawing(address, label_studio.read_label_studio(address.file)),
    yolo.KIND: yolo.yolo_drawing,
    NOTHING: lambda address: Drawing(address.size or (0, 0), ()),
}


_ROWS = 256
"""Rows of a mask that are drawn at once where it is read part by part."""


class _DrawnHandle(ComposedMask):
    """A mask that is drawn from outlines, whole or a part of it."""

    def __init__(self, path: Path, drawing: Drawing) -> None:
        self.path, self.shape, self._drawing = path, drawing.size, drawing
        self.block = _ROWS, drawing.size[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(mask_type(self._drawing.marks))

    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        return painted(self._drawing.marks, self._drawing.size)

    def window(self, y: int, x: int, height: int, width: int, *, axis: int = 0, index: int = 0) -> Pixels:
        """Draws the marks that reach into the part; the others cost a look at their boxes."""
        bottom, right = min(y + height, self.shape[0]), min(x + width, self.shape[1])
        part: Part = y, x, bottom, right
        top, left, lowest, rightmost = self._boxes.T
        near = (top < bottom) & (lowest > y) & (left < right) & (rightmost > x)
        marks = [self._drawing.marks[at] for at in np.flatnonzero(near).tolist()]
        return painted(marks, self._drawing.size, part, self.dtype)

    @cached_property
    def _boxes(self) -> NDArray[np.float64]:
        return boxes_of(self._drawing.marks, self._drawing.size)

    def digest(self) -> str:
        return self._drawing.digest()


class Annotations(Reader):
    """Addresses in files of outlines; the files themselves are many masks, or none, and not opened."""

    name = "annotations"
    suffixes = ()
    kind: ClassVar[Kind] = "packed"
    windowed = True

    def sniff(self, path: Path, first: bytes) -> bool:
        return AnnotationAddress.parse(path) is not None

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        address = AnnotationAddress.parse(path)
        if address is not None and address.kind == labelme.EMBEDDED:
            return PictureHandle(path, labelme.embedded_image(address.file), max_pixels)
        if address is None or address.kind not in _DRAWINGS:
            raise DataError(f"{path} is no mask in a file of outlines; start from the folder that holds it")
        drawing = _DRAWINGS[address.kind](address)
        height, width = drawing.size
        if height * width > max_pixels:
            raise DataError(
                f"{path} has {width}×{height} pixels, above the limit of {max_pixels / 1e6:g} megapixels; "
                "raise it with --max-megapixels if the machine's memory allows"
            )
        return _DrawnHandle(path, drawing)
