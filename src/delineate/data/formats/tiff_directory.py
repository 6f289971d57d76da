"""What a TIFF file says of its pictures: the tags of its first directory, and where those of its other pages are.

TIFF 6.0 (1992) and BigTIFF, in both byte orders. Read here, since decoders refuse or misread what they do not expect.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from mmap import mmap
from typing import Literal

import numpy as np

from delineate.data.formats.orientation import TAG as ORIENTATION
from delineate.data.formats.orientation import checked
from delineate.data.formats.tiff_description import Description, describe

__all__ = [
    "BITS",
    "COLOR_MAP",
    "COMPRESSION",
    "DEPTH",
    "EXTRA",
    "FILL_ORDER",
    "FORMAT",
    "HEIGHT",
    "JPEG_TABLES",
    "PHOTOMETRIC",
    "PLANAR",
    "PREDICTOR",
    "ROWS_PER_STRIP",
    "SAMPLES",
    "STRIP_COUNTS",
    "STRIP_OFFSETS",
    "TILE_COUNTS",
    "TILE_HEIGHT",
    "TILE_OFFSETS",
    "TILE_WIDTH",
    "UNCOMPRESSED",
    "WIDTH",
    "Content",
    "Directory",
    "Order",
    "Tag",
    "page_directory",
    "read_directory",
    "smaller_copies",
]

_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, _DESCRIPTION = (
    254,
    256,
    257,
    258,
    259,
    262,
    266,
    270,
)
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, PLANAR, PREDICTOR, COLOR_MAP = 273, 277, 278, 279, 284, 317, 320
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_SUB_DIRECTORIES, JPEG_TABLES = 330, 347
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, EXTRA, FORMAT = 322, 323, 324, 325, 338, 339
DEPTH, _METAMORPH = 32997, 33629
"""Planes of a picture (SGI); of a MetaMorph stack, whose entry counts its planes."""

_KNOWN = frozenset(
    {
        _SUBFILE,
        WIDTH,
        HEIGHT,
        BITS,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        _DESCRIPTION,
        STRIP_OFFSETS,
        ORIENTATION,
        SAMPLES,
    }
    | {
        ROWS_PER_STRIP,
        STRIP_COUNTS,
        _X_RESOLUTION,
        _Y_RESOLUTION,
        PLANAR,
        PREDICTOR,
        COLOR_MAP,
        TILE_WIDTH,
        TILE_HEIGHT,
    }
    | {TILE_OFFSETS, TILE_COUNTS, EXTRA, FORMAT, DEPTH, _METAMORPH}
    | {_RESOLUTION_UNIT, _SUB_DIRECTORIES, JPEG_TABLES}
)
"""Tags that are read; others may be as many and as large as their programs like."""

Content = bytes | mmap
"""A file's bytes, or a view of them, of which only what is looked at is read."""
Order = Literal["<", ">"]
UNCOMPRESSED = 1
_INCH = 2
_UNITS = {_INCH: 25.4, 3: 10.0}
"""Unit of the tags of resolution → millimeters; 1 is none."""
_REDUCED = 1
"""Bit of `_SUBFILE`: the page is a small copy of another."""
_KINDS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "2I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Type of an entry → code of one value; of a fraction, two numbers. Floats say nothing that is asked for here."""
_MOST_VALUES = 10_000_000
"""Values of the tags of a directory: more strips than any picture has."""
_SMALLEST_ENTRY = 12
"""Bytes. Directories do not overlap, so a file has no more entries than this allows."""


@dataclass(frozen=True)
class Tag:
    """The values of one entry, and where in the file they stand."""

    values: tuple[int, ...]
    position: int
    count: int


@dataclass(frozen=True)
class Directory:
    """The first directory of a file."""

    order: Order
    """Byte order."""
    tags: Mapping[int, Tag]
    places: tuple[int, ...]
    """Where in the file the directories of its pages are, the first too; small copies of other pages left out."""
    big: bool
    """Whether it is BigTIFF."""
    size: int
    """Bytes of the file."""
    copies: tuple[int, ...] = ()
    """Where the directories of small copies of pages are."""

    def one(self, tag: int, default: int) -> int:
        """A tag's first value."""
        found = self.tags.get(tag)
        return found.values[0] if found and found.values else default

    def all(self, tag: int) -> tuple[int, ...]:
        """A tag's values; none where it is absent."""
        found = self.tags.get(tag)
        return found.values if found else ()

    @property
    def height(self) -> int:
        return self.tags[HEIGHT].values[0]

    @property
    def width(self) -> int:
        return self.tags[WIDTH].values[0]

    @property
    def bits(self) -> int:
        """Of one sample; 0 where samples differ."""
        stated = set(self.all(BITS)) or {1}
        return stated.pop() if len(stated) == 1 else 0

    @property
    def samples(self) -> int:
        """Numbers of a pixel."""
        return self.one(SAMPLES, 1)

    @property
    def orientation(self) -> int:
        return checked(self.one(ORIENTATION, 1))

    @cached_property
    def pages(self) -> int:
        """Pictures of the file, those without a directory of their own included."""
        return len(self.places) if len(self.places) > 1 else max(1, self._behind())

    @cached_property
    def text(self) -> bytes:
        """The description of the picture, as it stands in the file."""
        return bytes(value & 0xFF for value in self.all(_DESCRIPTION))

    @cached_property
    def description(self) -> Description:
        """What the programs that know of stacks have written into the file."""
        return describe(self.text)

    @property
    def per_unit(self) -> tuple[float, float] | None:
        """Columns and rows of pixels in a unit of length, whatever that is; None where the file does not tell."""
        found = [self.all(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
        if not all(len(one) == 2 and min(one) > 0 for one in found):
            return None
        return found[0][0] / found[0][1], found[1][0] / found[1][1]

    @property
    def unit(self) -> float | None:
        """Millimeters in the unit of `per_unit`, where the tags tell: an inch or a centimeter."""
        return _UNITS.get(self.one(_RESOLUTION_UNIT, _INCH))

    def _behind(self) -> int:
        """Planes behind a single directory, as a number of programs write them."""
        if _METAMORPH in self.tags:
            return self.tags[_METAMORPH].count
        if self.one(DEPTH, 1) > 1:
            return self.one(DEPTH, 1)
        planes = self.description.pages(self._values)
        return planes if self._hold(planes) else 1

    @property
    def _values(self) -> int:
        return self.height * self.width * self.samples

    def _hold(self, planes: int) -> bool:
        """Whether so many planes can lie in the file; a description alone may be a copy from another one."""
        if self.one(COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED or not self.all(STRIP_OFFSETS):
            return False
        plane = self._values * self.bits // 8
        return min(self.all(STRIP_OFFSETS)) + planes * plane <= self.size


def read_directory(content: Content) -> Directory:
    """The first directory, and where the others are. Raises whatever parsing raises on a damaged file."""
    order: Order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
    first: dict[int, Tag] = {}
    places: list[int] = []
    copies: list[int] = []
    seen, entries = set[int](), 0
    while offset and offset not in seen:
        number, tags, following = _entries(content, offset, order, big, None if not seen else (_SUBFILE,))
        entries += number + 1
        if entries * _SMALLEST_ENTRY > len(content) + 2 * _SMALLEST_ENTRY:
            raise ValueError("its directories overlap")
        first = first or tags
        seen.add(offset)
        reduced = bool(tags[_SUBFILE].values[0] & _REDUCED) if _SUBFILE in tags else False
        if not places or not reduced:  # a small copy that comes first would be taken for the picture
            places.append(offset)
        else:
            copies.append(offset)
        offset = following
    return Directory(order, first, tuple(places), big, len(content), tuple(copies))


def smaller_copies(content: Content, first: Directory) -> list[Directory]:
    """The page at smaller sizes, the largest first: its sub-directories, and pages that call themselves small copies. What has
    another shape (a label, a mask of transparency) is none. Raises as `read_directory`."""
    found = []
    for place in dict.fromkeys((*first.all(_SUB_DIRECTORIES), *first.copies)):
        copy = replace(
            first, tags=_entries(content, place, first.order, first.big, None)[1], places=(place,), copies=()
        )
        skewed = abs(copy.height * first.width - copy.width * first.height)
        alike = copy.samples == first.samples and copy.bits == first.bits
        if alike and copy.height < first.height and skewed <= first.height + first.width:
            found.append(copy)
    return sorted(found, key=lambda one: -one.height)


def page_directory(content: Content, first: Directory, page: int, only: tuple[int, ...] | None = None) -> Directory:
    """The directory of a page that has one of its own; `only`: the tags that are asked for. Raises as `read_directory`."""
    place = first.places[page]
    tags = _entries(content, place, first.order, first.big, only)[1] if page or only is not None else first.tags
    return replace(first, tags=tags)


def _entries(
    content: Content, offset: int, order: Order, big: bool, only: tuple[int, ...] | None
) -> tuple[int, dict[int, Tag], int]:
    """Entries of the directory at `offset`, their tags (all, or `only` some), and where the next directory is."""
    (number,) = struct.unpack_from(order + ("Q" if big else "H"), content, offset)
    start, size = offset + (8 if big else 2), 20 if big else 12
    (following,) = struct.unpack_from(order + ("Q" if big else "I"), content, start + number * size)
    tags: dict[int, Tag] = {}
    values = 0
    for place in range(start, start + number * size, size):
        (tag,) = struct.unpack_from(f"{order}H", content, place)
        if tag in (_KNOWN if only is None else only):
            tags[tag] = _tag(content, place, order, big)
            values += len(tags[tag].values)
            if values > _MOST_VALUES:
                raise ValueError("tags of more values than any picture has")
    return number, tags, following


def _tag(content: Content, place: int, order: Order, big: bool) -> Tag:
    kind, count = struct.unpack_from(order + ("HQ" if big else "HI"), content, place + 2)
    inline, pointer = place + (12 if big else 8), "Q" if big else "I"
    code = _KINDS.get(kind)
    if code is None or count > _MOST_VALUES:
        return Tag((), inline, count)
    length = count * struct.calcsize(order + code)
    position = inline if length <= struct.calcsize(pointer) else struct.unpack_from(order + pointer, content, inline)[0]
    number, each = count * int(code[:-1] or 1), np.dtype(code[-1]).newbyteorder(order)
    values = np.frombuffer(content, each, number, position) if count else np.zeros(0, int)
    return Tag(tuple(values.tolist()), position, count)
