"""A decoder for pydicom: JPEG of 12 bits and lossless JPEG by imagecodecs. pydicom asks for three names of this file."""

from __future__ import annotations

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
DECODER_DEPENDENCIES = dict.fromkeys(_FUNCTIONS, ("numpy", "imagecodecs"))
"""Transfer syntax → packages that decoding it needs."""


def is_available(uid: str) -> bool:
    """Whether a transfer syntax can be decoded.

    Args:
        uid: of the syntax.

    Returns:
        True for JPEG of 12 bits and lossless JPEG where imagecodecs is installed.

    Example:
        >>> from delineate.data.formats.dicom.codecs import is_available
        >>> is_available("1.2.840.10008.1.2.4.90")
        False
    """
    return uid in _FUNCTIONS and find_spec("imagecodecs") is not None


def _decode_frame(packed: bytes, runner: Any) -> bytearray:
    """The pixels of one frame as bytes, little-endian, in containers of the size that the file states."""
    pixels = np.asarray(getattr(import_module("imagecodecs"), _FUNCTIONS[runner.transfer_syntax])(packed))
    wanted = (runner.rows, runner.columns) + ((runner.samples_per_pixel,) if runner.samples_per_pixel > 1 else ())
    if pixels.shape != wanted:
        raise ValueError("the packed picture has another size")
    runner.set_option("planar_configuration", 0)
    return bytearray(pixels.astype(f"<u{runner.bits_allocated // 8}").tobytes())
