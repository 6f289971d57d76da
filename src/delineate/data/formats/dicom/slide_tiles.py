"""The tiles of one file of a slide: where they lie in the picture and in the file, and their pixels."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats.dicom.files import damage_told
from delineate.data.formats.dicom.header import Header
from delineate.data.formats.dicom.numbers import whole
from delineate.data.formats.dicom.package import pydicom
from delineate.data.formats.dicom.pixels import UNPACKED, decoder_of
from delineate.data.formats.images import mapped

__all__ = ["SlideTiles"]

_LITTLE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
"""Transfer syntaxes of numbers that are not packed; slides have no others."""
_Span = tuple[int, int]
_TO_THE_END = 0xFFFFFFFF
"""The length of packed pixels: not stated."""


class SlideTiles:
    """Its header has been read; tiles are decoded when they are asked for."""

    def __init__(self, header: Header) -> None:
        """Raises `DataError` for what is not one plane of one channel or color, in one file, and for a damaged list of tiles."""
        self._header, path = header, header.path
        with damage_told(path), path.open("rb") as stream:
            dataset = pydicom().dcmread(stream, stop_before_pixels=True)
            self._syntax = str(dataset.file_meta.TransferSyntaxUID)
            _check(path, dataset, self._syntax)
            self._bits = whole(dataset, "BitsAllocated", path) or 8
            self._planar = whole(dataset, "PlanarConfiguration", path) or 0
            self._at = _places(header, dataset)
            self._parts = _parts(stream, dataset, header, self._syntax)
        self._content = mapped(path)

    def tile(self, row: int, column: int) -> NDArray[Any] | None:
        """The tile of a row and a column of tiles; None where there is none. Raises `DataError` for a damaged one."""
        index = self._at.get((row, column))
        if index is None:
            return None
        header = self._header
        try:
            return self._decoded(b"".join(self._content[start:end] for start, end in self._parts(index)))
        except DataError:
            raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # what a decoder in Rust panics with is no Exception
            raise DataError(
                f"{header.path}, frame {index}: its pixels are damaged or truncated; restore or remove it"
            ) from error

    def _decoded(self, packed: bytes) -> NDArray[Any]:
        package, header = pydicom(), self._header
        decoder = package.pixels.get_decoder(self._syntax)
        plain = self._syntax in UNPACKED
        pixels, _ = decoder.as_array(
            packed if plain else package.encaps.encapsulate([packed]),
            index=0,
            decoding_plugin="" if plain else decoder_of(header.path, header.bits, self._syntax),
            rows=header.rows,
            columns=header.columns,
            number_of_frames=1,
            samples_per_pixel=header.samples,
            photometric_interpretation=header.photometric,
            planar_configuration=self._planar,
            bits_allocated=self._bits,
            bits_stored=header.bits,
            pixel_representation=0,
            pixel_keyword="PixelData",
        )
        wanted = (header.rows, header.columns) + ((3,) if header.samples > 1 else ())
        if pixels.shape != wanted:
            raise ValueError(f"a tile of the shape {pixels.shape}")
        return pixels


def _check(path: Path, dataset: Any, syntax: str) -> None:
    """Raise `DataError` for slides that are more than one picture, or less."""
    planes = whole(dataset, "TotalPixelMatrixFocalPlanes", path) or 1
    optical = whole(dataset, "NumberOfOpticalPaths", path) or len(dataset.get("OpticalPathSequence") or [0])
    if planes > 1 or optical > 1:
        what = f"{planes} focal planes" if planes > 1 else f"{optical} optical paths (channels)"
        raise DataError(f"{path} has {what}, and slides of one are read: export the one that is meant")
    if "ConcatenationUID" in dataset:
        raise DataError(f"{path} is a part of a slide that lies in several files (a concatenation): join them first")
    if syntax in UNPACKED and syntax not in _LITTLE:
        raise DataError(
            f"{path} is a slide with pixels in an order that is not read (big-endian or deflated): convert it"
        )


def _places(header: Header, dataset: Any) -> dict[tuple[int, int], int]:
    """Row and column of tiles → number of the frame."""
    assert header.matrix is not None, "a slide has one"
    down, across = (-(-whole_side // side) for whole_side, side in zip(header.matrix, _sides(header), strict=True))
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if dataset.get("DimensionOrganizationType") == "TILED_FULL" or not groups:
        if header.frames != down * across:
            raise DataError(
                f"{header.path} has {header.frames} tiles, and {across}×{down} are needed for its "
                f"{header.matrix[1]}×{header.matrix[0]} pixels; restore it"
            )
        return {divmod(index, across): index for index in range(header.frames)}
    found: dict[tuple[int, int], int] = {}
    for index, group in enumerate(groups):
        place = group.PlanePositionSlideSequence[0]
        names = ("RowPositionInTotalImagePixelMatrix", "ColumnPositionInTotalImagePixelMatrix")
        first = [(whole(place, name, header.path) or 1) - 1 for name in names]
        if any(at % side for at, side in zip(first, _sides(header), strict=True)):
            raise DataError(f"{header.path} has tiles that do not lie on a grid, which is not read: export it as TIFF")
        found[first[0] // header.rows, first[1] // header.columns] = index
    return found


def _sides(header: Header) -> tuple[int, int]:
    return header.rows, header.columns


def _parts(stream: BinaryIO, dataset: Any, header: Header, syntax: str) -> Callable[[int], list[_Span]]:
    """What tells where the bytes of a frame begin and end. `stream` is at the element of the pixels."""
    head = stream.read(8 if syntax == _LITTLE[0] else 12)
    if head[:4] != b"\xe0\x7f\x10\x00":
        raise DataError(f"{header.path} holds no pixels, only a header; restore the file")
    (length,) = struct.unpack("<I", head[-4:])
    if syntax in UNPACKED:
        size, start = header.size // header.frames, stream.tell()
        if length < size * header.frames or stream.seek(0, 2) < start + size * header.frames:
            raise DataError(f"{header.path} is truncated: its pixels end too early; restore or remove it")
        return lambda index: [(start + index * size, start + (index + 1) * size)]
    if length != _TO_THE_END:
        raise ValueError("packed pixels of a stated length")
    return _packed(stream, dataset, header).__getitem__


def _packed(stream: BinaryIO, dataset: Any, header: Header) -> list[list[_Span]]:
    encaps = pydicom().encaps
    basic, base = encaps.parse_basic_offsets(stream), stream.tell()
    if (further := dataset.get("ExtendedOffsetTable")) is not None and len(further) == 8 * header.frames:
        starts = np.frombuffer(further, "<u8")
        lengths = np.frombuffer(dataset.ExtendedOffsetTableLengths, "<u8")
        return [[(base + int(at) + 8, base + int(at) + 8 + int(n))] for at, n in zip(starts, lengths, strict=True)]
    number, items = encaps.parse_fragments(stream)
    if number < header.frames:
        raise DataError(f"{header.path} is truncated: {number} of its {header.frames} tiles are there; restore it")
    ends = [*items[1:], stream.seek(0, 2)]
    spans = []
    for start, end in zip(items, ends, strict=True):
        stream.seek(start + 4)
        (size,) = struct.unpack("<I", stream.read(4))
        spans.append((start + 8, min(start + 8 + size, end)))
    if number == header.frames:
        return [[span] for span in spans]
    if len(basic) != header.frames:
        raise DataError(f"{header.path} has tiles in several pieces without a list of them; convert it")
    groups: list[list[_Span]] = [[] for _ in basic]
    firsts = np.array(basic, np.int64) + base
    for start, span in zip(items, spans, strict=True):
        groups[int(np.searchsorted(firsts, start, side="right")) - 1].append(span)
    return groups
