"""WebP, JPEG 2000 and AVIF: what their first bytes say, and their pixels by Pillow, where it has the codec.

Pillow keeps 8 bits of AVIF, and of colors in JPEG 2000; what has more is decoded by OpenCV or refused. Depth, loss and size
are read from the files themselves, so that nothing is changed silently.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, features

from delineate.data.formats.orientation import TAG as ORIENTATION
from delineate.data.formats.orientation import UPRIGHT
from delineate.data.formats.unreadable import UnreadableError

__all__ = ["Codec", "as_stored", "codec_of", "deep_colors", "open_coded", "read_coded"]

Codec = Literal["webp", "jpeg2000", "avif", "heif"]

_BOXED = b"\0\0\0\x0cjP  \r\n\x87\n"
_CODESTREAM = b"\xff\x4f\xff\x51"
"""Start of JPEG 2000's picture: a marker (SOC), and that of the sizes (SIZ)."""
_CODING_STYLE, _PARTS = 0xFF52, 0xFF90
"""JPEG 2000's markers of how it is coded, and of the first part of the pixels."""
_REVERSIBLE = 1
"""JPEG 2000's wavelet without loss."""
_AVIF = (b"avif", b"avis")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_NAMES: dict[Codec, tuple[str, str, str]] = {
    "webp": ("WebP", "PIL.WebPImagePlugin:WebPImageFile", "webp"),
    "jpeg2000": ("JPEG 2000", "PIL.Jpeg2KImagePlugin:Jpeg2KImageFile", "jpg_2000"),
    "avif": ("AVIF", "PIL.AvifImagePlugin:AvifImageFile", "avif"),
}
"""What people call it; Pillow's class; the name that Pillow tells the codec by."""


@dataclass(frozen=True)
class _Coded:
    """What a file says of its picture."""

    height: int
    width: int
    bits: int = 8
    """Of each number."""
    gray: bool = False
    """Whether it has one channel, whatever Pillow makes of it."""
    lossy: bool = True
    pages: int = 1
    palette: bool = False
    orientation: int = UPRIGHT


def codec_of(content: bytes) -> Codec | None:
    """Which of these formats the first bytes promise."""
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "webp"
    if content.startswith((_BOXED, _CODESTREAM)):
        return "jpeg2000"
    if content[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(content[:4]), 256)
    brands = [content[8:12], *(content[at : at + 4] for at in range(16, size, 4))]
    if any(brand in _AVIF for brand in brands):
        return "avif"
    return "heif" if any(brand in _HEIF for brand in brands) else None


def read_coded(content: bytes, codec: Codec) -> _Coded:
    """What the header says. Raises `UnreadableError` for what Pillow cannot decode truly, and whatever parsers raise on damage."""
    if codec == "heif":
        raise UnreadableError("is a HEIC picture, as phones save them, which is not readable: save it as PNG or JPEG")
    stated = {"webp": _webp, "jpeg2000": _jpeg2000, "avif": _avif}[codec](content)
    with open_coded(content, codec) as image:
        size = (image.height, image.width)
        if size != (stated.height or size[0], stated.width or size[1]):
            raise ValueError(f"{stated.width}×{stated.height} pixels are promised")
        return _Coded(
            *size,
            bits=stated.bits,
            gray=stated.gray and image.mode not in ("P", "PA"),
            lossy=stated.lossy,
            pages=getattr(image, "n_frames", 1),
            palette=image.mode in ("P", "PA"),
            orientation=int(image.getexif().get(ORIENTATION, UPRIGHT)),
        )


def open_coded(content: bytes, codec: Codec) -> ImageFile.ImageFile:
    """Pillow's lazy image. Raises `UnreadableError` where this Pillow was built without the codec."""
    name, place, feature = _NAMES[codec]
    module, _, kind = place.partition(":")
    try:
        found = getattr(import_module(module), kind)
    except ImportError:
        found = None
    if found is None or not features.check(feature):
        raise UnreadableError(
            f"is stored as {name}, which the Pillow that is installed cannot read: install a newer one "
            "(pip install --upgrade Pillow), or save the picture as PNG"
        )
    opened: ImageFile.ImageFile = found(io.BytesIO(content))
    return opened


def as_stored(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Gray of another depth than 8 or 16 bits with the numbers that the file holds: Pillow moves them up to fill 8 or 16 bits."""
    full = 8 * pixels.dtype.itemsize
    return pixels if bits in (8, 16) else pixels >> (full - bits)


def deep_colors(content: bytes) -> NDArray[np.uint16]:
    """A JPEG 2000 picture of more than 8 bits a channel, of which Pillow keeps 8. Raises `UnreadableError` where OpenCV cannot."""
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3 or decoded.shape[2] not in (3, 4):
        raise UnreadableError(
            "is a JPEG 2000 picture of 16-bit colors, which cannot be decoded here: save it as PNG or TIFF"
        )
    turned: Any = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB if decoded.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return turned


def _webp(content: bytes) -> _Coded:
    """WebP container specification: the first chunk is the picture's (`VP8 `, `VP8L`), or tells the size of the canvas (`VP8X`)."""
    kinds = {content[start : start + 4]: start + 8 for start in _riff_chunks(content)}
    lossy = b"VP8L" not in kinds
    if (at := kinds.get(b"VP8X")) is not None:
        width, height = (1 + int.from_bytes(content[at + part : at + part + 3], "little") for part in (4, 7))
    elif (at := kinds.get(b"VP8L")) is not None:
        sizes = int.from_bytes(content[at + 1 : at + 5], "little")
        width, height = 1 + (sizes & 0x3FFF), 1 + (sizes >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, kinds[b"VP8 "] + 6))
    return _Coded(height, width, lossy=lossy)


def _riff_chunks(content: bytes) -> Iterator[int]:
    at = 12
    while at + 8 <= len(content):
        yield at
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2


def _jpeg2000(content: bytes) -> _Coded:
    """ISO 15444-1, annex A.5: sizes, then depth of each channel; then other markers, of which one tells the wavelet."""
    start = content.index(_CODESTREAM) + 2
    right, bottom, left, top = struct.unpack_from(">IIII", content, start + 6)
    channels = int.from_bytes(content[start + 38 : start + 40])
    depths = {content[start + 40 + 3 * at] for at in range(channels)}
    if any(depth & 0x80 for depth in depths):
        raise UnreadableError(
            "is a JPEG 2000 picture of signed numbers, whose black is unknown: save it as TIFF or NIfTI"
        )
    if len(depths) != 1 or (bits := 1 + depths.pop()) > 16:
        raise UnreadableError(
            "is a JPEG 2000 picture whose channels have 8 or 16 bits no longer: save it as PNG or TIFF"
        )
    return _Coded(bottom - top, right - left, bits, channels == 1, _wavelet(content, start) != _REVERSIBLE)


def _wavelet(content: bytes, at: int) -> int | None:
    while at + 14 <= len(content):
        marker, size = struct.unpack_from(">HH", content, at)
        if marker == _CODING_STYLE:
            return content[at + 13]
        if marker == _PARTS:
            break
        at += 2 + size
    return None


def _avif(content: bytes) -> _Coded:
    """AV1 in ISOBMFF, section 2.3.3: the third byte of the configuration tells depth and gray. Pillow knows the size."""
    at = content.find(b"av1C")
    told = content[at + 6] if 0 < at < len(content) - 6 else 0
    if told & 0x40:
        raise UnreadableError(
            f"is an AVIF picture of {12 if told & 0x20 else 10} bits, of which 8 would be kept: save it as PNG or TIFF"
        )
    return _Coded(0, 0, gray=bool(told & 0x10))
