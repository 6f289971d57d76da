"""TIFF as a format: pictures of one page, and stacks of pages as volumes; masks of both are written as TIFF."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from delineate.common.errors import DataError
from delineate.common.files import write_bytes
from delineate.data.core.geometry import Geometry, Triple
from delineate.data.formats.contract import (
    DEFAULT_MAX_PIXELS,
    ImageHandle,
    Palette,
    Writer,
    grid_to_write,
)
from delineate.data.formats.frames import frame_address
from delineate.data.formats.pictures import Raster
from delineate.data.formats.tiff_picture import TiffPicture
from delineate.data.formats.tiff_stack import StackHandle, pages_of

__all__ = ["Tiff"]

_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 283, 296
_NO_UNIT = 1
"""Of the resolution's unit: ImageJ's description tells it."""
_MICRONS = 0.1
"""Voxels with a side of fewer millimeters are written in micrometers."""
_MOST = 2**31
"""Of the parts of a fraction."""


class _TiffWriter(Writer):
    """Masks as gray TIFFs packed without loss: of a picture one page, of a volume one for each plane, as ImageJ's stacks are."""

    suffixes = (".tif", ".tiff")

    def write_mask(
        self,
        path: Path,
        mask: NDArray[Any],
        *,
        like: ImageHandle | Geometry | None = None,
        labels: str = "",
        palette: Palette | None = None,
    ) -> None:
        """`palette` is left out: viewers of TIFF show palettes as colors and lose the values."""
        if (
            mask.dtype not in (np.uint8, np.uint16)
            or mask.ndim not in (2, 3)
            or (mask.dtype != np.uint8 and mask.ndim == 2)
        ):
            raise ValueError(f"a mask to write is uint8 H×W or a volume, not {mask.dtype} of shape {mask.shape}")
        _write(path, mask, like, labels)

    def write_map(self, path: Path, values: NDArray[np.uint16], *, like: ImageHandle | Geometry | None = None) -> None:
        _write(path, values, like, "")


class Tiff(Raster):
    """TIFF files. What is in the file counts, so pictures of one page are read as other pictures are."""

    name = "tiff"
    suffixes = (".tif", ".tiff")
    writer = _TiffWriter()
    windowed = True
    framed = True

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        file, frame = frame_address(path)
        if frame is not None or pages_of(file).number > 1:
            return StackHandle(path, max_pixels)
        return TiffPicture(path, max_pixels)

    def volume_at(self, path: Path) -> bool:
        """By its header; a file of several frames that are pictures counts as a volume, of which only the frames are read."""
        file, frame = frame_address(path)
        found = pages_of(file)
        return found.number > 1 if frame is None else found.planes > 1

    def frames(self, path: Path) -> int:
        return pages_of(path).frames

    def frame_names(self, path: Path) -> tuple[str, ...]:
        return pages_of(path).names


def _write(path: Path, values: NDArray[Any], like: ImageHandle | Geometry | None, labels: str) -> None:
    if values.ndim == 3:
        geometry = grid_to_write(like, values)
        if geometry.tells == "place":
            raise DataError(
                f"{path}: a TIFF stack has no place in the patient, as its image has; write .nii.gz or .mha"
            )
        planes, about = np.moveaxis(values, 2, 0), _described(geometry.millimeters, values.shape[2], labels)
    else:
        if isinstance(like, ImageHandle) and values.shape != like.shape:
            raise ValueError(f"a mask to write has the shape {like.shape} of its image, not {values.shape}")
        planes, about = values[None], {_DESCRIPTION: labels.encode()} if labels else {}
    content, pages = io.BytesIO(), _pictures(planes)
    further: dict[str, Any] = {"save_all": True, "append_images": pages} if len(planes) > 1 else {}
    next(pages).save(content, "TIFF", compression="tiff_adobe_deflate", tiffinfo=about, **further)
    write_bytes(path, content.getvalue())


def _pictures(planes: NDArray[Any]) -> Iterator[Image.Image]:
    for plane in planes:
        yield Image.fromarray(np.ascontiguousarray(plane))


def _described(spacing: Triple | None, planes: int, labels: str) -> dict[int, Any]:
    """What ImageJ reads of a stack: how many slices, and how far apart they are."""
    lines = ["ImageJ=1.54f", f"images={planes}", f"slices={planes}", "loop=false"]
    tags: dict[int, Any] = {}
    if spacing is not None:
        small = min(spacing) < _MICRONS
        rows, columns, depth = (size * (1000 if small else 1) for size in spacing)
        lines += [f"unit={'micron' if small else 'mm'}", f"spacing={depth!r}"]
        tags = {_X_RESOLUTION: _per(columns), _Y_RESOLUTION: _per(rows), _RESOLUTION_UNIT: _NO_UNIT}
    lines += [f"labels={labels}"] if labels else []
    return {_DESCRIPTION: "\n".join([*lines, ""]).encode(), **tags}


def _per(size: float) -> IFDRational:
    """Pixels in a unit, as a fraction."""
    found = Fraction(1 / size)
    if found > 1:  # both parts have 32 bits
        found = 1 / (1 / found).limit_denominator(_MOST)
    return IFDRational(*found.limit_denominator(_MOST).as_integer_ratio())
