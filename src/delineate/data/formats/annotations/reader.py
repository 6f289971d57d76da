"""Masks of labeling tools as a format: each has an address in a file of outlines, and is drawn when its pixels are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats.annotations import coco, cvat, label_studio, labelme, via, yolo
from delineate.data.formats.annotations.address import NOTHING, AnnotationAddress
from delineate.data.formats.annotations.drawing import Drawing
from delineate.data.formats.annotations.outlines import painted
from delineate.data.formats.annotations.shapes import shapes_drawing
from delineate.data.formats.composed_mask import ComposedMask
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle, Kind, Reader
from delineate.data.formats.pictures import PictureHandle

__all__ = ["Annotations"]

_DRAWINGS: Mapping[str, Callable[[AnnotationAddress], Drawing]] = {
    coco.KIND: coco.coco_drawing,
    labelme.KIND: lambda address: shapes_drawing(address, [labelme.parse_labelme(address.file)]),
    via.KIND: lambda address: shapes_drawing(address, via.read_via(address.file)),
    cvat.KIND: lambda address: shapes_drawing(address, cvat.read_cvat(address.file)),
    label_studio.KIND: lambda address: shapes_drawing(address, label_studio.read_label_studio(address.file)),
    yolo.KIND: yolo.yolo_drawing,
    NOTHING: lambda address: Drawing(address.size or (0, 0), ()),
}


class _DrawnHandle(ComposedMask):
    """A mask that is drawn from outlines."""

    def __init__(self, path: Path, drawing: Drawing) -> None:
        self.path, self.shape, self._drawing = path, drawing.size, drawing

    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        return painted(self._drawing.marks, self._drawing.size)

    def digest(self) -> str:
        return self._drawing.digest()


class Annotations(Reader):
    """Addresses in files of outlines; the files themselves are many masks, or none, and not opened."""

    name = "annotations"
    suffixes = ()
    kind: ClassVar[Kind] = "packed"

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
