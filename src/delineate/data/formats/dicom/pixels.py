"""One frame of a DICOM file → its stored numbers, by decoders with permissive licenses only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats.dicom.codecs import DECODER_DEPENDENCIES
from delineate.data.formats.dicom.files import read_dataset
from delineate.data.formats.dicom.header import Frame
from delineate.data.formats.dicom.package import pydicom

__all__ = ["COLORS", "GRAYS", "UNPACKED", "decoder_of", "iter_frames", "read_frame"]

COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420", "PALETTE COLOR")
"""Photometric interpretations that become RGB."""
GRAYS = ("MONOCHROME1", "MONOCHROME2")
_J2K = ("pylibjpeg", "pylibjpeg pylibjpeg-openjpeg")
_JPEG_LS = ("pyjpegls", "pyjpegls")
_OURS = "delineate"
"""`codecs`."""
_LOSSLESS = (_OURS, "imagecodecs")
_DECODERS = {
    "1.2.840.10008.1.2.5": (_OURS, ""),
    "1.2.840.10008.1.2.4.50": ("pillow", "pillow"),
    "1.2.840.10008.1.2.4.51": _LOSSLESS,
    "1.2.840.10008.1.2.4.57": _LOSSLESS,
    "1.2.840.10008.1.2.4.70": _LOSSLESS,
    "1.2.840.10008.1.2.4.80": _JPEG_LS,
    "1.2.840.10008.1.2.4.81": _JPEG_LS,
    "1.2.840.10008.1.2.4.90": _J2K,
    "1.2.840.10008.1.2.4.91": _J2K,
    "1.2.840.10008.1.2.4.201": _J2K,
    "1.2.840.10008.1.2.4.202": _J2K,
    "1.2.840.10008.1.2.4.203": _J2K,
}
"""Transfer syntax → the decoder that is used, and what to install for it. GDCM, which pydicom would ask first, is never used: a
damaged file makes it end the whole program."""
UNPACKED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
_RLE = "1.2.840.10008.1.2.5"
_EXTENDED, _PILLOW = "1.2.840.10008.1.2.4.51", "pillow"
_UID = re.compile(r"[0-9.]{1,64}")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read_frame(frame: Frame) -> tuple[NDArray[Any], Any]:
    """Decode one frame; of a file of many, the others are not decoded.

    Args:
        frame: of a file.

    Returns:
        Its stored numbers, H×W, or H×W×3 where they are colors (RGB), and the file's data set.

    Raises:
        DataError: in one line that names the file: truncated or damaged pixels, or a way of packing that no decoder here reads.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from delineate.data.formats.dicom.pixels import read_frame
        >>> from delineate.data.formats.dicom.scan import scan
        >>> (_, series), = scan(Path(get_testdata_file("CT_small.dcm"))).series
        >>> read_frame(series.frames[0])[0].shape
        (128, 128)
    """
    header = frame.header
    if header.photometric not in GRAYS + COLORS:
        kind = header.photometric or "an unknown kind of"
        raise DataError(f"{header.path} has {kind} pixels, which are not readable; convert it to RGB")
    dataset = read_dataset(header.path, pixels=header.frames == 1)
    source: Any = dataset if header.frames == 1 else header.path
    syntax = str(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", ""))
    try:
        pixels = _decoded(source, frame, syntax)
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{header.path} does not fit into memory") from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what a decoder in Rust panics with is no Exception
        raise DataError(_refusal(frame, dataset, syntax, error)) from error
    if header.photometric == "PALETTE COLOR":
        try:
            pixels = pydicom().pixels.apply_color_lut(pixels, dataset)
        except Exception as error:
            raise DataError(f"{header.path}: its table of colors is damaged; restore the file") from error
        pixels = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    wanted = (header.rows, header.columns) + ((3,) if header.photometric in COLORS else ())
    if pixels.shape != wanted:
        raise DataError(f"{header.path} has pixels of the shape {pixels.shape}, not {wanted} as its header says")
    return pixels, dataset


def iter_frames(path: Path, dataset: Any, bits: int) -> Iterator[NDArray[Any]]:
    """All frames of a file that is no image, such as a segmentation, by the same decoders.

    Args:
        path: of the file.
        dataset: pydicom's data set, with its pixels.
        bits: stored, of one pixel.

    Yields:
        Stored numbers, H×W.

    Raises:
        DataError: a way of packing that no decoder here reads. What decoders raise for damaged pixels passes through.
    """
    iter_pixels, syntax = pydicom().pixels.iter_pixels, str(dataset.file_meta.TransferSyntaxUID)
    if syntax in UNPACKED:
        yield from iter_pixels(dataset)
    else:
        yield from iter_pixels(dataset, decoding_plugin=decoder_of(path, bits, syntax))


def _decoded(source: Any, frame: Frame, syntax: str) -> NDArray[Any]:
    """`source`: a path, or the data set of a file of one frame."""
    decode = pydicom().pixels.pixel_array
    if syntax in UNPACKED or not syntax:
        return decode(source, index=frame.index)
    return decode(source, index=frame.index, decoding_plugin=decoder_of(frame.path, frame.header.bits, syntax))


def decoder_of(path: Path, bits: int, syntax: str) -> str:
    """The decoder of a transfer syntax. Raises `DataError` where there is none, or it is not installed."""
    _add_decoder()
    if syntax not in _DECODERS:
        raise DataError(f"{path} has pixels packed as {_name(syntax)}, which is not readable; convert it")
    name, package = _DECODERS[syntax]
    if syntax == _EXTENDED and bits <= 8:
        name = _PILLOW
    available = {one.casefold() for one in import_module("pydicom.pixels").get_decoder(syntax).available_plugins}
    if name in available:
        return name
    if syntax == _RLE:
        return "pydicom"  # its own, which is slower
    raise DataError(f"{path} has pixels packed as {_name(syntax)}: pip install {package}")


def _refusal(frame: Frame, dataset: Any, syntax: str, error: BaseException) -> str:
    """Why a frame was not decoded, without the words of decoders, which may quote the header."""
    path, at = frame.path, f", frame {frame.index}" if frame.header.frames > 1 else ""
    text = str(error)
    if not syntax:
        return f"{path} does not say how its pixels are packed (no Transfer Syntax UID); restore the file"
    if frame.header.frames == 1 and not any(name in dataset for name in _PIXELS):
        return f"{path} holds no pixels, only a header; restore the file"
    if "less than expected" in text or "actual length" in text:
        return f"{path}{at} is truncated: its pixels end too early; restore or remove it"
    return f"{path}{at}: its pixels are damaged or truncated ({_name(syntax)}); restore or remove it"


def _name(syntax: str) -> str:
    name = str(pydicom().uid.UID(syntax).name)
    return name if name != syntax or _UID.fullmatch(syntax) else "an unknown syntax"


@cache
def _add_decoder() -> None:
    """Tell pydicom of the decoder that is ours (`codecs`)."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = import_module("pydicom.pixels").get_decoder(syntax)
        decoder.add_plugin(_OURS, ("delineate.data.formats.dicom.codecs", "_decode_frame"))
