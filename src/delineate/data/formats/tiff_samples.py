"""The numbers of a TIFF picture exactly as they are stored: any bits, byte order, planes, strips or tiles, before any meaning.

LZW and PackBits are left to OpenCV (libtiff): it is given the packed bytes as a plain 8-bit gray picture, which it cannot
misread. Python's own libraries unpack deflate, of which OpenCV says nothing where a tile is damaged, and LZMA. What is between
(predictors, planes, bits) is NumPy's work.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.formats import tiff_directory as tags
from delineate.data.formats.tiff_directory import Content, Directory

__all__ = ["COMPRESSIONS", "KINDS", "LZMA", "LZW", "NONE", "Bytes", "read_samples", "sample_type"]

Bytes = NDArray[np.uint8]

NONE, LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS, LZMA = tags.UNCOMPRESSED, 5, 8, 32946, 32773, 34925
COMPRESSIONS = frozenset({NONE, LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS, LZMA})
"""What `read_samples` unpacks."""
KINDS = {1: "u", 2: "i", 3: "f"}
"""SampleFormat → NumPy's kind."""

_HORIZONTAL, _FLOATING = 2, 3
"""Predictors: differences of neighbors; of floats, byte by byte."""
_LARGEST_TILE = 1 << 26
"""Pixels of a tile that may be larger than its picture."""
_REVERSED = 2
"""Fill order of bits in a byte."""
_OPENCV_ROWS = 1 << 16
"""Rows that OpenCV is given at a time; it takes up to 2**20."""
_LOW_TO_HIGH = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1)[:, 0]


def sample_type(directory: Directory) -> np.dtype[Any] | None:
    """The type that samples are read as; None for such as NumPy has not (24 bits, complex numbers)."""
    kind = KINDS.get(directory.one(tags.FORMAT, 1), "u")
    bits = directory.bits
    whole = next((size for size in (8, 16, 32, 64) if size >= bits), 0)
    if (
        not bits
        or not whole
        or (kind == "f" and bits not in (16, 32, 64))
        or (bits not in (8, 16, 32, 64) and bits > 16)
    ):
        return None
    return np.dtype(f"{kind}{whole // 8}") if bits == whole else np.dtype(f"u{whole // 8}")


def read_samples(content: Content, directory: Directory) -> NDArray[Any]:
    """H×W×S numbers in the machine's byte order. Raises whatever unpacking raises, `ValueError` for what is missing."""
    planes = directory.samples if directory.one(tags.PLANAR, 1) == 2 else 1
    offsets, counts, shape = _segments(directory)
    if len(offsets) < planes or len(offsets) % planes:
        raise ValueError(f"{len(offsets)} strips or tiles for {planes} planes")
    each = len(offsets) // planes
    parts = [
        _plane(content, directory, offsets[start : start + each], counts[start : start + each], shape)
        for start in range(0, planes * each, each)
    ]
    return parts[0] if planes == 1 else np.concatenate(parts, axis=2)


def _segments(directory: Directory) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, int]]:
    """Offsets and bytes of strips or tiles, and rows and columns of one."""
    if directory.all(tags.TILE_OFFSETS):
        shape = directory.one(tags.TILE_HEIGHT, 0), directory.one(tags.TILE_WIDTH, 0)
        return directory.all(tags.TILE_OFFSETS), directory.all(tags.TILE_COUNTS), shape
    rows = min(directory.one(tags.ROWS_PER_STRIP, directory.height), directory.height)
    return directory.all(tags.STRIP_OFFSETS), directory.all(tags.STRIP_COUNTS), (rows, directory.width)


def _plane(
    content: Content, directory: Directory, offsets: Sequence[int], counts: Sequence[int], shape: tuple[int, int]
) -> NDArray[Any]:
    """H×W×S of the segments that lie one below the other, tiles from left to right first."""
    height, width, (rows, columns) = directory.height, directory.width, shape
    if rows < 1 or columns < 1:
        raise ValueError("strips or tiles without pixels")
    samples = 1 if directory.one(tags.PLANAR, 1) == 2 else directory.samples
    tiled, across = bool(directory.all(tags.TILE_OFFSETS)), -(-width // columns)
    number = across * -(-height // rows)
    if len(offsets) < number:
        raise ValueError(f"{len(offsets)} of {number} strips or tiles are listed")
    total = number * rows if tiled else height
    if number * rows * columns > 4 * height * width + _LARGEST_TILE:
        raise ValueError("tiles that are much larger than the picture")
    row = -(-columns * samples * directory.bits // 8)
    lengths = [row * min(rows, total - start) for start in range(0, total, rows)]
    packed = _packed(content, directory, offsets[:number], counts, lengths)
    raw = _unpacked(packed, lengths, directory.one(tags.COMPRESSION, NONE), row, rows)
    values = _numbers(raw.reshape(total, row), directory, columns, samples)
    if not tiled:
        return values
    grid = values.reshape(-1, across, rows, columns, samples).swapaxes(1, 2)
    return grid.reshape(-1, across * columns, samples)[:height, :width]


def _packed(
    content: Content, directory: Directory, offsets: Sequence[int], counts: Sequence[int], lengths: Sequence[int]
) -> list[Bytes]:
    """The bytes of each segment as they are stored, bits from high to low."""
    if directory.one(tags.COMPRESSION, NONE) == NONE:
        counts = lengths
    if len(counts) < len(offsets):
        raise ValueError("the lengths of strips or tiles are missing")
    found = [np.frombuffer(content, np.uint8, count, place) for place, count in zip(offsets, counts, strict=False)]
    return [_LOW_TO_HIGH[one] for one in found] if directory.one(tags.FILL_ORDER, 1) == _REVERSED else found


def _unpacked(packed: list[Bytes], lengths: Sequence[int], compression: int, row: int, rows: int) -> Bytes:
    """All segments one after the other. Raises for one that gives fewer bytes than it should."""
    if compression == NONE:
        return packed[0] if len(packed) == 1 else np.concatenate(packed)
    if compression not in (_DEFLATE, _OLD_DEFLATE, LZMA):
        at_once = max(1, _OPENCV_ROWS // rows)
        groups = [slice(start, start + at_once) for start in range(0, len(packed), at_once)]
        return np.concatenate([_by_opencv(packed[one], sum(lengths[one]), compression, row, rows) for one in groups])
    whole = bytearray()
    for one, length in zip(packed, lengths, strict=True):
        unpack = lzma.LZMADecompressor() if compression == LZMA else zlib.decompressobj()
        part = unpack.decompress(one.tobytes(), length)
        if len(part) < length:
            raise ValueError(f"a strip or tile of {len(part)} bytes, not {length}")
        whole += part
    return np.frombuffer(whole, np.uint8)


def _by_opencv(packed: list[Bytes], total: int, compression: int, row: int, rows: int) -> Bytes:
    """A picture of `row` gray pixels by as many rows as there are, in strips of `rows`: the bytes themselves."""
    height = total // row
    sizes = np.array([len(one) for one in packed], np.uint32)
    starts = 8 + np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.uint32)
    body = b"".join(one.tobytes() for one in packed)
    body += b"\0" * (len(body) % 2)
    listed = {tags.STRIP_OFFSETS: starts, tags.STRIP_COUNTS: sizes}
    single = {
        tags.WIDTH: row,
        tags.HEIGHT: height,
        tags.BITS: 8,
        tags.COMPRESSION: compression,
        tags.PHOTOMETRIC: 1,
        tags.SAMPLES: 1,
        tags.ROWS_PER_STRIP: rows,
    }
    entries, after = b"", 8 + len(body)
    for tag in sorted(single.keys() | listed.keys()):
        values = listed.get(tag, np.array([single.get(tag, 0)], np.uint32))
        if len(values) == 1:
            entries += struct.pack("<HHII", tag, 4, 1, int(values[0]))
        else:
            entries += struct.pack("<HHII", tag, 4, len(values), after)
            body += values.astype("<u4").tobytes()
            after = 8 + len(body)
    directory = struct.pack("<H", len(single) + len(listed)) + entries + struct.pack("<I", 0)
    picture = struct.pack("<2sHI", b"II", 42, after) + body + directory
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it prints faults without the file's name
    try:
        decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if decoded is None or decoded.shape != (height, row) or decoded.dtype != np.uint8:
        raise ValueError("its packed pixels end too early or are damaged")
    return np.ascontiguousarray(decoded, np.uint8).ravel()


def _numbers(raw: Bytes, directory: Directory, columns: int, samples: int) -> NDArray[Any]:
    """Rows of bytes → rows×columns×samples, predictors undone."""
    dtype, bits, predictor = sample_type(directory), directory.bits, directory.one(tags.PREDICTOR, 1)
    assert dtype is not None, "checked by the caller"
    if bits not in (8, 16, 32, 64):
        return _few_bits(raw, bits, columns * samples, dtype).reshape(-1, columns, samples)
    if predictor == _FLOATING:
        return _floating(raw, dtype, columns, samples)
    stored = raw.view(dtype.newbyteorder(directory.order)).reshape(-1, columns, samples)
    if predictor == _HORIZONTAL:
        unsigned = np.dtype(f"u{dtype.itemsize}")
        differences = stored.view(unsigned.newbyteorder(directory.order))
        return np.cumsum(differences, axis=1, dtype=unsigned).view(dtype)
    return stored.astype(dtype, copy=False)


def _few_bits(raw: Bytes, bits: int, per_row: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers of 1…15 bits, packed from the high bit on; each row begins with a byte of its own."""
    single = np.unpackbits(raw, axis=1)[:, : per_row * bits].reshape(-1, per_row, bits)
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(dtype)
    return np.asarray((single * weights).sum(axis=2, dtype=dtype))


def _floating(raw: Bytes, dtype: np.dtype[Any], columns: int, samples: int) -> NDArray[Any]:
    """Adobe's technical note 3: differences of bytes, of which a row holds all the highest first."""
    summed = np.cumsum(raw.reshape(len(raw), -1, samples), axis=1, dtype=np.uint8)
    planes = summed.reshape(len(raw), dtype.itemsize, columns * samples).swapaxes(1, 2)
    return np.ascontiguousarray(planes).view(dtype.newbyteorder(">")).astype(dtype).reshape(-1, columns, samples)
