"""The first bytes of an image file: its format, size, pages and orientation, before anything is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

from PIL import BmpImagePlugin, GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from delineate.data.formats import codecs, pnm
from delineate.data.formats.archives import plane_size
from delineate.data.formats.codecs import Codec
from delineate.data.formats.orientation import UPRIGHT, exif_orientation, jpeg_orientation, jpeg_segments
from delineate.data.formats.tiff_directory import Content, Directory, read_directory
from delineate.data.formats.unreadable import UnreadableError as UnreadableError  # who decodes finds it here

__all__ = [
    "PNG_GRAY",
    "PNG_GRAY_ALPHA",
    "PNG_RGB",
    "PNG_RGBA",
    "Format",
    "Header",
    "UnreadableError",
    "open_pillow",
    "png_chunks",
    "png_is_intact",
    "read_header",
    "sniff",
    "stated_orientation",
    "with_text",
]

Format = Literal["png", "jpeg", "bmp", "gif", "tiff", "npy", "pnm"] | Codec

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
PNG_GRAY, PNG_RGB, _PNG_PALETTE, PNG_GRAY_ALPHA, PNG_RGBA = 0, 2, 3, 4, 6
"""Color types of PNG."""
_FRAMES = range(0xC0, 0xD0)
_SNIFFED = 64
"""Bytes that tell a TIFF."""
_NO_FRAMES = (0xC4, 0xC8, 0xCC)
"""JPEG markers of that range that begin no frame."""
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
"""JPEG's frames that are neither lossless nor hierarchical."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself. Height and width are as stored, before any rotation by `orientation`."""

    format: Format
    height: int
    width: int
    pages: int = 1
    palette: bool = False
    bits: int = 8
    """Bits per sample, of PNG, TIFF, JPEG 2000 and Netpbm."""
    orientation: int = UPRIGHT
    """EXIF's, 1…8."""
    color: int = 0
    """PNG's color type."""
    directory: Directory | None = None
    """Of a TIFF."""
    lossy: bool = False
    """Whether the file keeps values only nearly."""
    gray: bool = False
    """Of WebP, JPEG 2000 and AVIF: whether there is one channel, whatever the decoder makes of it."""


def read_header(content: Content) -> Header | None:
    """The header of an image file; None when it is of none of the readable formats. A view of a file is that of a TIFF.

    Raises `UnreadableError` for a kind of JPEG that no decoder has, and whatever the parsers raise on a damaged header.
    """
    if not isinstance(content, bytes):
        return _tiff(content) if sniff(content[:_SNIFFED]) == "tiff" else read_header(bytes(content))
    kind = sniff(content)
    if kind is None:
        return None
    if kind == "png":
        return _png(content)
    if kind == "tiff":
        return _tiff(content)
    if kind == "npy":
        return Header("npy", *plane_size(content))
    if kind == "pnm":
        stated = pnm.read_stated(content)
        return Header("pnm", stated.height, stated.width, bits=stated.bits)
    if kind in get_args(Codec):
        return _coded(content, cast("Codec", kind))
    if kind == "jpeg":
        _check_jpeg(content)
    with open_pillow(content, kind) as image:
        return Header(
            format=kind,
            height=image.height,
            width=image.width,
            pages=getattr(image, "n_frames", 1) if kind == "gif" else 1,
            palette=image.mode in ("P", "PA"),
            orientation=jpeg_orientation(content) if kind == "jpeg" else UPRIGHT,
            lossy=kind == "jpeg",
        )


def stated_orientation(content: bytes) -> int:
    """The orientation that a file states, without opening a decoder; upright where it states none or is damaged."""
    kind = sniff(content)
    try:
        if kind == "jpeg":
            return jpeg_orientation(content)
        if kind in get_args(Codec):
            return codecs.read_coded(content, cast("Codec", kind)).orientation
        found = _png(content) if kind == "png" else _tiff(content) if kind == "tiff" else None
    except Exception:
        return UPRIGHT
    return found.orientation if found else UPRIGHT


def sniff(content: bytes) -> Format | None:
    """The format that the first bytes promise, whatever the file is called."""
    named = next((kind for magic, kind in _MAGIC if content.startswith(magic)), None)
    return named or ("pnm" if pnm.is_pnm(content) else codecs.codec_of(content))


def open_pillow(content: bytes, kind: Format) -> ImageFile.ImageFile:
    """Pillow's lazy image for one known format.

    The format's class is called directly: `Image.open` would try every plugin it has, and has a size limit of its own
    that can only be changed for the whole process.
    """
    if kind in get_args(Codec):
        return codecs.open_coded(content, cast("Codec", kind))
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
    for kind, start, end in png_chunks(content):
        if zlib.crc32(content[start + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
            return False
        if kind == b"IEND":
            return True
    return False


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk that is whole; its data lie 8 bytes after the start and end 4 before the end."""
    position = 8
    while position + 12 <= len(content):
        end = position + 12 + int.from_bytes(content[position : position + 4])
        if end > len(content):
            return
        yield content[position + 4 : position + 8], position, end
        position = end


def _png(content: bytes) -> Header:
    """PNG specification, section 11.2.1: IHDR is always the first chunk."""
    width, height, bits, color = struct.unpack_from(">IIBB", content, 16)
    frames, orientation = 1, UPRIGHT
    for kind, start, end in png_chunks(content):
        if kind == b"eXIf":
            orientation = exif_orientation(content[start + 8 : end - 4])
        if kind == b"acTL" and end - start >= 16:
            frames = int.from_bytes(content[start + 8 : start + 12])
    return Header("png", height, width, frames, color == _PNG_PALETTE, bits, orientation, color)


def _coded(content: bytes, kind: Codec) -> Header:
    found = codecs.read_coded(content, kind)
    return Header(
        kind,
        found.height,
        found.width,
        found.pages,
        found.palette,
        found.bits,
        found.orientation,
        lossy=found.lossy,
        gray=found.gray,
    )


def _tiff(content: Content) -> Header:
    found = read_directory(content)
    return Header("tiff", found.height, found.width, found.pages, False, found.bits, found.orientation, directory=found)


def _check_jpeg(content: bytes) -> None:
    """Raise `UnreadableError` for lossless and hierarchical JPEGs and for those of 12 bits: decoders take them for damaged."""
    frames = ((marker, data) for marker, data in jpeg_segments(content) if marker in _FRAMES)
    marker, data = next((one for one in frames if one[0] not in _NO_FRAMES), (0, b""))
    if data and (marker not in _PLAIN_FRAMES or data[0] != 8):
        kind = f"of {data[0]} bits" if marker in _PLAIN_FRAMES else "without loss (or in layers)"
        raise UnreadableError(f"is a JPEG {kind}, which is not readable: save it as PNG or TIFF")


def with_text(png: bytes, key: str, text: str) -> bytes:
    """A PNG file with a text (UTF-8, an iTXt chunk) after its header."""
    data = b"iTXt" + key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8")
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return png[:33] + chunk + png[33:]  # signature (8 bytes) and IHDR (25)
