"""PNG, JPEG and the other kinds of pictures as formats: one picture a file, decoded when its pixels are asked for."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.geometry import Geometry
from delineate.data.core.input_spec import Pixels
from delineate.data.core.mask_values import RawMask
from delineate.data.formats import images
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, GRAY, RGB, RGBA, ImageHandle, Palette, Reader, Writer
from delineate.data.formats.headers import PNG_GRAY, PNG_RGB, sniff
from delineate.data.formats.tiff_directory import Content

__all__ = ["PictureHandle", "Raster"]


class PictureHandle(ImageHandle):
    """A picture whose file, or place in a packed file, has been read but not decoded. Turned as its orientation says."""

    def __init__(self, path: Path, content: Content, max_pixels: int) -> None:
        """Raises `DataError` as `images.decode_image`, for all that the header tells."""
        self.path, self._content = path, content
        header = self._header = images.checked_header(content, path, max_pixels)
        self.shape = (header.width, header.height) if header.orientation >= 5 else (header.height, header.width)
        self.orientation = header.orientation

    @cached_property
    def _pixels(self) -> Pixels:
        return images.pixels_in(self._content, self._header, self.path)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._pixels.dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return GRAY if self._pixels.ndim == 2 else {3: RGB, 4: RGBA}[self._pixels.shape[2]]

    @property
    def decoded_bytes(self) -> int:
        header = self._header
        one = header.gray or (header.format == "png" and header.color == PNG_GRAY)
        channels = 1 if one else 3 if header.format == "jpeg" or header.color == PNG_RGB else 4
        needed = header.height * header.width * channels * -(-header.bits // 8)
        # The header of .npy was read for the size alone.
        return max(needed, len(self._content)) if header.format == "npy" else needed

    def read(self) -> Pixels:
        return self._pixels

    def slice(self, axis: int, index: int) -> Pixels:
        if index:
            raise IndexError(f"a picture has one slice, not a slice {index}")
        return self._pixels

    def labels(self) -> RawMask:
        return images.labels_in(self._content, self._header, self.path)

    def digest(self) -> str:
        return hashlib.sha256(self._content).hexdigest()


class _PngWriter(Writer):
    """Masks as gray PNGs, or with colors as palette PNGs whose pixels still hold the values."""

    suffixes = (".png",)

    def write_mask(
        self,
        path: Path,
        mask: NDArray[Any],
        *,
        like: ImageHandle | Geometry | None = None,
        labels: str = "",
        palette: Palette | None = None,
    ) -> None:
        if isinstance(like, ImageHandle) and mask.shape != like.shape:
            raise ValueError(f"a mask to write has the shape {like.shape} of its image, not {mask.shape}")
        images.write_mask(path, mask, labels, palette)

    def write_map(self, path: Path, values: NDArray[np.uint16], *, like: ImageHandle | Geometry | None = None) -> None:
        images.write_image(path, values)


class Raster(Reader):
    """PNG, JPEG, BMP, GIF, WebP, JPEG 2000, AVIF and Netpbm; files of these kinds under other names, too."""

    name = "raster"
    suffixes: ClassVar[tuple[str, ...]] = (
        *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".avif"),
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".pbm", ".pgm", ".ppm", ".pnm"),
    )
    writer: ClassVar[Writer | None] = _PngWriter()

    def sniff(self, path: Path, first: bytes) -> bool:
        return sniff(first) not in (None, "npy")

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        return PictureHandle(path, images.read_content(path), max_pixels)
