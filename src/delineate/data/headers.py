"""The first bytes of an image file: its format, size and number of pages, before anything is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PIL import BmpImagePlugin, GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from delineate.data.planes import plane_size

Format = Literal["png", "jpeg", "bmp", "gif", "tiff", "npy"]

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"BM", "bmp"),
    (b"GIF8", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\x93NUMPY", "npy"),
)
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_PHOTOMETRIC, _TIFF_SAMPLES = 256, 257, 262, 277
_TIFF_GREY, _TIFF_RGB, _TIFF_PALETTE = (0, 1), 2, 3
_PNG_PALETTE = 3


@dataclass(frozen=True)
class Header:
    """What a file says of itself. Height and width are as stored, before any EXIF rotation."""

    format: Format
    height: int
    width: int
    pages: int = 1
    palette: bool = False
    bits: int = 8
    """Bits per sample; told for PNG only, where 2 and 4 bits matter."""


@dataclass(frozen=True)
class _Tag:
    """A TIFF tag's value and where in the file it stands."""

    value: int
    position: int


def read_header(content: bytes) -> Header | None:
    """The header of an image file; None when it is of none of the readable formats.

    Raises whatever the parsers raise on a damaged header.
    """
    kind = sniff(content)
    if kind is None:
        return None
    if kind == "png":
        return _png(content)
    if kind == "tiff":
        return _tiff(content)
    if kind == "npy":
        return Header("npy", *plane_size(content))
    with open_pillow(content, kind) as image:
        return Header(
            format=kind,
            height=image.height,
            width=image.width,
            pages=getattr(image, "n_frames", 1) if kind == "gif" else 1,
            palette=image.mode in ("P", "PA"),
        )


def sniff(content: bytes) -> Format | None:
    """The format that the first bytes promise, whatever the file is called."""
    return next((kind for magic, kind in _MAGIC if content.startswith(magic)), None)


def open_pillow(content: bytes, kind: Format) -> ImageFile.ImageFile:
    """Pillow's lazy image for one known format.

    The format's class is called directly: `Image.open` would try every plugin it has, and has a size limit of its own
    that can only be changed for the whole process.
    """
    readers: dict[Format, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
        "png": PngImagePlugin.PngImageFile,
        "jpeg": JpegImagePlugin.JpegImageFile,
        "bmp": BmpImagePlugin.BmpImageFile,
        "gif": GifImagePlugin.GifImageFile,
        "tiff": TiffImagePlugin.TiffImageFile,
    }
    return readers[kind](io.BytesIO(content))


def png_is_intact(content: bytes) -> bool:
    """Whether all chunks of a PNG are there, up to IEND, with the checksums they claim (PNG specification, section 5.3)."""
    position = 8
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4])
        end = position + 8 + length
        if zlib.crc32(content[position + 4 : end]) != int.from_bytes(content[end : end + 4]):
            return False
        if content[position + 4 : position + 8] == b"IEND":
            return True
        position = end + 4
    return False


def _png(content: bytes) -> Header:
    """PNG specification, section 11.2.1: IHDR is always the first chunk."""
    width, height, bits, colour = struct.unpack_from(">IIBB", content, 16)
    return Header("png", height, width, palette=colour == _PNG_PALETTE, bits=bits)


def _tiff(content: bytes) -> Header:
    """TIFF 6.0, section 2, and BigTIFF: walk the chain of image file directories.

    Done here, since Pillow refuses some files that OpenCV reads (three samples declared as grey, for instance).
    """
    order, big, offset = _tiff_start(content)
    tags: dict[int, _Tag] = {}
    pages, seen = 0, set()
    while offset and offset not in seen:
        seen.add(offset)
        entries, offset = _directory(content, offset, order, big)
        tags = tags or entries
        pages += 1
    palette = _TIFF_PHOTOMETRIC in tags and tags[_TIFF_PHOTOMETRIC].value == _TIFF_PALETTE
    return Header("tiff", tags[_TIFF_HEIGHT].value, tags[_TIFF_WIDTH].value, pages=pages, palette=palette)


def mend_tiff(content: bytes) -> bytes:
    """Three samples that are declared as grey become RGB. Some endoscopy sets (CVC-ClinicDB) have such files; Pillow refuses them,
    and OpenCV would give the red channel for the picture."""
    order, big, offset = _tiff_start(content)
    tags, _ = _directory(content, offset, order, big)
    samples, kind = tags.get(_TIFF_SAMPLES), tags.get(_TIFF_PHOTOMETRIC)
    if samples is None or kind is None or samples.value != 3 or kind.value not in _TIFF_GREY:
        return content
    return content[: kind.position] + struct.pack(f"{order}H", _TIFF_RGB) + content[kind.position + 2 :]


def _tiff_start(content: bytes) -> tuple[str, bool, int]:
    """Byte order, whether it is a BigTIFF, and the first directory's offset."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    offset = struct.unpack_from(f"{order}Q", content, 8)[0] if big else struct.unpack_from(f"{order}I", content, 4)[0]
    return order, big, offset


def _directory(content: bytes, offset: int, order: str, big: bool) -> tuple[dict[int, _Tag], int]:
    """The single-valued short and long tags of one directory, and the offset of the next."""
    count = struct.unpack_from(order + ("Q" if big else "H"), content, offset)[0]
    start, size = offset + (8 if big else 2), 20 if big else 12
    tags = {}
    for position in range(start, start + count * size, size):
        tag, kind = struct.unpack_from(f"{order}HH", content, position)
        code = {3: "H", 4: "I", 16: "Q"}.get(kind)
        if code is not None:
            place = position + (12 if big else 8)
            tags[tag] = _Tag(struct.unpack_from(order + code, content, place)[0], place)
    return tags, struct.unpack_from(order + ("Q" if big else "I"), content, start + count * size)[0]
