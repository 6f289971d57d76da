"""Picture files but TIFF → pixels, by OpenCV where it is exact and else by Pillow; compared with what the header promises."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.core.input_spec import Pixels
from delineate.data.formats import codecs, pnm
from delineate.data.formats.headers import (
    PNG_GRAY,
    PNG_GRAY_ALPHA,
    PNG_RGB,
    PNG_RGBA,
    Header,
    UnreadableError,
    open_pillow,
    png_chunks,
    png_is_intact,
)
from delineate.data.formats.palettes import palette_of, pixels_of

__all__ = ["check_alpha", "decode", "values"]

_MEDDLING = frozenset({b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"eXIf", b"bKGD", b"acTL", b"fcTL", b"fdAT"})
"""Chunks of PNG that OpenCV acts on, or may, and that change what it decodes."""


def decode(content: bytes, header: Header) -> Pixels:
    """The picture as it is stored, H×W or H×W×3/4. Raises whatever decoders raise on damaged bytes, `UnreadableError`.

    Gray of fewer bits than 8 is stretched to 0…255; of 9 to 15 bits the numbers stay.
    """
    if header.format in ("pnm", "webp", "jpeg2000", "avif"):
        numbers, white = _as_stored(content, header)
        return numbers if white >= 255 else np.rint(numbers * np.float32(255 / white)).astype(np.uint8)
    if header.palette or header.format in ("bmp", "gif") or _looks_damaged(content, header):
        return _decode_pillow(content, header)
    return _decode_jpeg(content, header) if header.format == "jpeg" else _decode_png(content, header)


def values(content: bytes, header: Header) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """A mask's numbers as they are stored, and the palette N×3 that they are indices of, if they are."""
    if header.palette:
        with open_pillow(content, header.format) as lazy:
            lazy.load()
            return (np.asarray(lazy), palette_of(lazy)) if lazy.mode == "P" else (pixels_of(lazy), None)
    if header.format in ("pnm", "webp", "jpeg2000", "avif"):
        mask, white = _as_stored(content, header)
        return (mask * np.uint8(255) if white == 1 else mask), None
    mask = decode(content, header)
    if header.color == PNG_GRAY_ALPHA and header.format == "png":
        with open_pillow(content, header.format) as lazy:
            check_alpha(mask, np.asarray(lazy.getchannel("A")))
    if header.format == "png" and header.bits in (2, 4):
        mask = mask // (255 // (2**header.bits - 1))  # decoders stretch 2- and 4-bit gray to 0..255
    return mask, None


def check_alpha(shown: NDArray[Any], alpha: NDArray[Any]) -> None:
    """Raise `UnreadableError` for a mask of one value or color throughout whose transparency draws the shape."""
    if (shown == shown[0, 0]).all() and (alpha != alpha[0, 0]).any():
        raise UnreadableError(
            "has one color throughout, and its shape in the alpha channel (transparency): save that as a gray mask"
        )


def _as_stored(content: bytes, header: Header) -> tuple[NDArray[Any], int]:
    """The numbers of a file, and which of them is white."""
    if header.format == "pnm":
        stated = pnm.read_stated(content)
        return pnm.read_numbers(content, stated), stated.most
    if header.format == "jpeg2000" and header.bits > 8 and not header.gray:
        return codecs.deep_colors(content), 2**header.bits - 1
    pixels = _decode_pillow(content, header)
    if header.gray:
        pixels = codecs.as_stored(pixels if pixels.ndim == 2 else pixels[..., 0], header.bits)
    return np.ascontiguousarray(pixels), 2**header.bits - 1


def _decode_jpeg(content: bytes, header: Header) -> Pixels:
    with open_pillow(content, "jpeg") as lazy:
        mode = lazy.mode
    if mode not in ("L", "RGB"):
        return _decode_pillow(content, header)
    kind = cv2.IMREAD_GRAYSCALE if mode == "L" else cv2.IMREAD_COLOR
    # Without turning: OpenCV's rule of orientation would be one beside ours.
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), kind | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None or decoded.shape[:2] != (header.height, header.width):
        return _decode_pillow(content, header)
    return decoded if mode == "L" else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _decode_png(content: bytes, header: Header) -> Pixels:
    decoded = cv2.imdecode(np.frombuffer(_plain_png(content), np.uint8), cv2.IMREAD_UNCHANGED)
    size, dtype = (header.height, header.width), np.dtype(np.uint16 if header.bits == 16 else np.uint8)
    channels = {PNG_GRAY: 1, PNG_RGB: 3, PNG_GRAY_ALPHA: 4, PNG_RGBA: 4}[header.color]  # gray + alpha arrives as BGRA
    if decoded is None or decoded.shape != (size if channels == 1 else (*size, channels)) or decoded.dtype != dtype:
        if header.bits == 16:
            raise ValueError("its 16-bit pixels cannot be decoded")
        return _decode_pillow(content, header)
    if header.color == PNG_GRAY_ALPHA:
        return np.ascontiguousarray(decoded[..., 0])
    code = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}.get(channels)
    return decoded if code is None else cv2.cvtColor(decoded, code)


def _plain_png(content: bytes) -> bytes:
    """The file with what makes its picture, without transparent colors, gamma, animation and the like, which decoders act on."""
    chunks = list(png_chunks(content))
    needless = {name for name, _, _ in chunks} & _MEDDLING
    if not needless:
        return content
    return content[:8] + b"".join(content[start:end] for name, start, end in chunks if name not in needless)


def _decode_pillow(content: bytes, header: Header) -> Pixels:
    with open_pillow(content, header.format) as lazy:
        lazy.load()
        pixels = pixels_of(lazy)
    if pixels.shape[:2] != (header.height, header.width):
        raise ValueError(f"{header.width}×{header.height} pixels are promised")
    return pixels


def _looks_damaged(content: bytes, header: Header) -> bool:
    if header.format == "jpeg":
        return not content.rstrip(b"\0\r\n").endswith(b"\xff\xd9")
    return header.format == "png" and not png_is_intact(content)
