"""A decoder for pydicom: JPEG of 12 bits and lossless JPEG by imagecodecs, run lengths (RLE) by pylibjpeg-rle, segment by segment.

pydicom asks for three names of this file. pylibjpeg-rle's own decoder of whole frames ends in a panic of Rust, which prints to the
terminal, where a damaged segment has too many pixels; of single segments it gives as many as there are.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

__all__ = ["DECODER_DEPENDENCIES", "is_available"]

_FUNCTIONS = {
    "1.2.840.10008.1.2.4.51": "jpeg8_decode",
    "1.2.840.10008.1.2.4.57": "jpegsof3_decode",
    "1.2.840.10008.1.2.4.70": "jpegsof3_decode",
}
"""Transfer syntax → imagecodecs' function."""
_RLE, _RLE_HEADER, _MOST_SEGMENTS = "1.2.840.10008.1.2.5", 64, 15
DECODER_DEPENDENCIES = dict.fromkeys(_FUNCTIONS, ("numpy", "imagecodecs")) | {_RLE: ("numpy", "pylibjpeg-rle")}
"""Transfer syntax → packages that decoding it needs."""


def is_available(uid: str) -> bool:
    """Whether a transfer syntax can be decoded.

    Args:
        uid: of the syntax.

    Returns:
        True for JPEG of 12 bits and lossless JPEG where imagecodecs is installed, for RLE where pylibjpeg-rle is.

    Example:
        >>> from delineate.data.formats.dicom.codecs import is_available
        >>> is_available("1.2.840.10008.1.2.4.90")
        False
    """
    if uid == _RLE:
        return find_spec("rle") is not None
    return uid in _FUNCTIONS and find_spec("imagecodecs") is not None


def _decode_frame(packed: bytes, runner: Any) -> bytearray:
    """The pixels of one frame as bytes, little-endian, in containers of the size that the file states."""
    if runner.transfer_syntax == _RLE:
        return _decode_rle(packed, runner)
    pixels = np.asarray(getattr(import_module("imagecodecs"), _FUNCTIONS[runner.transfer_syntax])(packed))
    wanted = (runner.rows, runner.columns) + ((runner.samples_per_pixel,) if runner.samples_per_pixel > 1 else ())
    if pixels.shape != wanted:
        raise ValueError("the packed picture has another size")
    runner.set_option("planar_configuration", 0)
    return bytearray(pixels.astype(f"<u{runner.bits_allocated // 8}").tobytes())


def _decode_rle(packed: bytes, runner: Any) -> bytearray:
    """Segments are bytes of all pixels, of each sample the highest first."""
    unpack = import_module("rle.utils").decode_segment
    samples, depth, count = runner.samples_per_pixel, runner.bits_allocated // 8, runner.rows * runner.columns
    if len(packed) < _RLE_HEADER or runner.bits_allocated % 8:
        raise ValueError("the frame is too short, or no whole bytes")
    number, *starts = np.frombuffer(packed[:_RLE_HEADER], "<u4").tolist()
    if number != samples * depth or number > _MOST_SEGMENTS:
        raise ValueError("another number of segments")
    ends = [*starts[1:number], len(packed)]
    planes = np.empty((samples, count, depth), np.uint8)
    for at, (start, end) in enumerate(zip(starts, ends, strict=False)):
        if not _RLE_HEADER <= start < end <= len(packed):
            raise ValueError("a segment lies outside of the frame")
        planes[at // depth, :, depth - 1 - at % depth] = np.frombuffer(
            _segment(packed[start:end], count, unpack), np.uint8
        )
    runner.set_option("planar_configuration", 1)
    return bytearray(planes.tobytes())


def _segment(packed: bytes, count: int, unpack: Callable[[bytes], bytes]) -> bytes:
    """The bytes of a segment, which may end with a byte that only makes its length even."""
    try:
        found = unpack(packed)
    except ValueError:
        if len(packed) < 2 or packed[-1]:
            raise
        found = unpack(packed[:-1])
    if len(found) != count:
        raise ValueError("another number of pixels")
    return found
