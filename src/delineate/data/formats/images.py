"""Image and mask files ⇄ arrays. The size is checked from the header before anything is decoded.

OpenCV decodes what it decodes exactly (8- and 16-bit PNG, JPEG); Pillow the rest (palettes, GIF, BMP, CMYK) and
whatever looks damaged, because OpenCV fills the missing part of a picture with gray and says nothing. TIFF has a module of its own.
What comes out is compared with what the header promised; no decoder is believed. The orientation is applied here, for all formats.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import write_bytes
from delineate.data.core.input_spec import Pixels
from delineate.data.core.labels import whole
from delineate.data.core.manifest import Coding
from delineate.data.core.mask_values import RawMask
from delineate.data.formats import raster, tiff
from delineate.data.formats.archives import Address, as_pixels, decode_plane, read_plane
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.headers import Header, UnreadableError, read_header, with_text
from delineate.data.formats.orientation import turned
from delineate.data.formats.palettes import encode_palette
from delineate.data.formats.registry import PICTURES
from delineate.data.formats.tiff_directory import Content

__all__ = [
    "READING",
    "check_pixels",
    "checked_header",
    "decode_image",
    "decode_mask",
    "labels_in",
    "mapped",
    "named",
    "pixels_in",
    "raw_mask",
    "read_content",
    "single_channel",
    "typed",
    "write_image",
    "write_mask",
]

READING = 2
"""Raised whenever a file comes to be read as other pixels than before, so that no cache holds what is read no more."""
_LOSSY_CHROMA = 24
"""Channels of a gray mask that was saved as a color JPEG (WebP, …) may differ by this much."""


def write_mask(
    path: Path,
    mask: NDArray[np.uint8],
    labels: str = "",
    palette: Sequence[tuple[int, int, int]] | None = None,
) -> None:
    """Write H×W uint8 values as a gray PNG, atomically; with a palette as one whose pixels still hold the values.

    `labels`: what they mean, kept in the file as text (key `labels`). `palette`: the RGB color of each value from 0 on; a gray
    one is moved by one step, since a gray palette is read as gray values.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"a mask to write is uint8 H×W, not {mask.dtype} of shape {mask.shape}")
    content = cv2.imencode(".png", mask)[1].tobytes() if palette is None else encode_palette(mask, palette)
    write_bytes(path, with_text(content, "labels", labels) if labels else content)


def write_image(path: Path, image: Pixels) -> None:
    """Write H×W or H×W×3/4 pixels (RGB order), uint8 or uint16, as PNG, atomically."""
    code = None if image.ndim == 2 else {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[image.shape[2]]
    _, content = cv2.imencode(".png", image if code is None else cv2.cvtColor(image, code))
    write_bytes(path, content.tobytes())


def read_content(path: Path, max_pixels: int | None = None) -> bytes:
    """A file's bytes, or those of a picture in a packed file (`data.formats.archives`).

    Raises `DataError`: it cannot be read, is empty, a packed picture has more than `max_pixels`.
    """
    if (address := Address.parse(path)) is not None:
        return read_plane(address, max_pixels)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if not content:
        raise DataError(f"{path} is empty (zero bytes); restore or remove it")
    return content


def mapped(path: Path) -> Content:
    """A view of a file, of which only what is looked at is read. Raises `DataError` as `read_content`."""
    try:
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return read_content(path)  # which has a line for each of its faults


def decode_image(content: bytes, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """Decode the bytes of an image file → H×W (gray) or H×W×3/4 (RGB order), EXIF orientation applied.

    uint8 or uint16; what has other numbers, whose type does not tell what is white, is float32 with the file's own values.
    `path` is for messages. Palettes become RGB; the alpha of a gray image is dropped. Raises `DataError` naming the file when it is
    empty, truncated, not an image, a stack of pages, has pixels that are not finite, or is larger than `max_pixels`.
    """
    return pixels_in(content, checked_header(content, path, max_pixels), path)


def pixels_in(content: Content, header: Header, path: Path) -> Pixels:
    """`decode_image` where the header has been read and checked."""
    with named(path):
        if header.format == "npy":
            return typed(as_pixels(decode_plane(bytes(content)), path), path)
        image = (
            tiff.read_pixels(content, header.directory) if header.directory else raster.decode(bytes(content), header)
        )
        return turned(typed(image, path), header.orientation)


def decode_mask(
    content: bytes, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS, coding: Coding | None = None
) -> NDArray[Any]:
    """Decode the bytes of a mask file → its raw label values, H×W, uint8 or uint16; colors as uint32.

    `coding`: what a pixel says, as the data set's label rule knows. None: palette files give their indices, unless the palette
    is gray: then its gray values. Three equal channels count as one. Raises `DataError` as `decode_image` does, and for masks
    painted in colors where no coding says so.
    """
    return raw_mask(content, path, max_pixels=max_pixels).as_coded(coding, path)


def raw_mask(content: bytes, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> RawMask:
    """A mask file before it is known what its pixels mean: gray values, palette indices or colors. Raises as `decode_image`."""
    return labels_in(content, checked_header(content, path, max_pixels), path)


def labels_in(content: Content, header: Header, path: Path) -> RawMask:
    """`raw_mask` where the header has been read and checked."""
    with named(path):
        if header.format == "npy":
            return RawMask(whole(decode_plane(bytes(content)), path))
        values, palette = (
            tiff.read_values(content, header.directory) if header.directory else raster.values(bytes(content), header)
        )
        if palette is None:
            values = whole(values, path) if values.dtype not in (np.uint8, np.uint16) else typed(values, path)
        values = turned(values, header.orientation)
        if palette is not None:
            return RawMask(values, palette)
        mask = single_channel(values, _LOSSY_CHROMA if header.lossy else 0)
        return RawMask(mask, colored=mask.ndim == 3, lossy=header.lossy)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """A context in which faults of decoding become a `DataError` that names the file."""
    try:
        yield
    except DataError:
        raise
    except UnreadableError as error:
        raise DataError(f"{path} {error}") from error
    except Exception as error:
        raise _broken(path, error) from error


def checked_header(content: Content, path: Path, max_pixels: int) -> Header:
    """The header of a single picture that is not too large. Raises `DataError` naming the file for everything else."""
    with named(path):
        header = read_header(content)
    if header is None:
        raise DataError(f"{path} is not an image that can be read; {PICTURES} are")
    if header.pages > 1:
        if header.format == "tiff":
            raise DataError(f"{path} is a TIFF stack of {header.pages} pages under another name: call it .tif")
        raise DataError(f"{path} is an animation of {header.pages} pages, which is not readable: save each as a file")
    check_pixels((header.height, header.width), path, max_pixels)
    return header


def check_pixels(size: tuple[int, int], path: Path, max_pixels: int) -> None:
    """Raise `DataError` naming the file for a picture, or a slice, of height×width without pixels or with too many."""
    height, width = size
    if height * width == 0:
        raise DataError(f"{path} has no pixels ({width}×{height})")
    if height * width > max_pixels:
        raise DataError(
            f"{path} has {width}×{height} pixels, above the limit of {max_pixels / 1e6:g} megapixels; "
            "raise it with --max-megapixels if the machine's memory allows"
        )


def single_channel(mask: NDArray[Any], tolerance: int = 0) -> NDArray[Any]:
    """Three equal channels → one; other colors stay, H×W×3. Raises `UnreadableError` for a shape in the alpha channel alone."""
    if mask.ndim == 2:
        return mask
    if mask.shape[2] == 4:
        raster.check_alpha(mask[..., :3], mask[..., 3])
    red, green, blue = (mask[..., channel].astype(np.int32) for channel in range(3))
    if max(np.abs(red - green).max(), np.abs(blue - green).max()) > tolerance:
        return mask[..., :3]
    return np.ascontiguousarray(mask[..., 1])


def typed(image: NDArray[Any], path: Path) -> Pixels:
    """The array itself where it is uint8 or uint16, other numbers as float32.

    Raises `DataError` where it is not H×W or H×W×3/4, and for numbers that are not finite.
    """
    if image.dtype not in (np.uint8, np.uint16):
        if image.dtype.kind not in "iuf":
            raise DataError(f"{path} has {image.dtype} pixels; only whole numbers and floats are readable: convert it")
        with np.errstate(over="ignore"):
            image = image.astype(np.float32)
        if not np.isfinite(image).all():
            raise DataError(f"{path} has pixels that are not numbers (NaN or infinite); replace them")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise DataError(f"{path} has {image.shape[2:]} channels; only gray, RGB and RGBA images are readable")
    return image


def _broken(path: Path, error: Exception) -> DataError:
    """Parsers raise almost anything on damaged bytes; a lack of memory is not the file's fault."""
    if isinstance(error, MemoryError):
        return DataError(f"{path} does not fit into memory; make the image smaller")
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    if isinstance(error, struct.error):  # its words are about Python's buffers
        reason = "it ends before what it tells of"
    return DataError(f"{path} is damaged or truncated ({reason}); restore or remove it")
