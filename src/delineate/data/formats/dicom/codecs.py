"""A decoder for pydicom: JPEG of 12 bits by imagecodecs. pydicom asks for the three names at the end of this file."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

__all__ = ["DECODER_DEPENDENCIES", "is_available"]

_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
DECODER_DEPENDENCIES = {_JPEG_EXTENDED: ("numpy", "imagecodecs")}
"""Transfer syntax → packages that decoding it needs."""


def is_available(uid: str) -> bool:
    """Whether a transfer syntax can be decoded.

    Args:
        uid: of the syntax.

    Returns:
        True for JPEG of 12 bits where imagecodecs is installed.

    Example:
        >>> from delineate.data.formats.dicom.codecs import is_available
        >>> is_available("1.2.840.10008.1.2.4.90")
        False
    """
    return uid == _JPEG_EXTENDED and find_spec("imagecodecs") is not None


def _decode_frame(packed: bytes, runner: Any) -> bytearray:
    """The pixels of one frame as bytes, little-endian, in containers of the size that the file states."""
    pixels = np.asarray(import_module("imagecodecs").jpeg8_decode(packed))
    if pixels.shape[:2] != (runner.rows, runner.columns):
        raise ValueError("the packed picture has another size")
    return bytearray(pixels.astype(f"<u{runner.bits_allocated // 8}").tobytes())
