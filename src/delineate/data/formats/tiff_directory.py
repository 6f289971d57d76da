"""What a TIFF file says of its pictures: the tags of its first directory, and how many pages there are.

TIFF 6.0 (1992) and BigTIFF, in both byte orders. Read here, since decoders refuse or misread what they do not expect.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np

from delineate.common.files import parse_json
from delineate.data.formats.orientation import TAG as ORIENTATION
from delineate.data.formats.orientation import checked

__all__ = [
    "BITS",
    "COLOR_MAP",
    "COMPRESSION",
    "DEPTH",
    "EXTRA",
    "FILL_ORDER",
    "FORMAT",
    "HEIGHT",
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
    "Directory",
    "Order",
    "Tag",
    "read_directory",
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
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, EXTRA, FORMAT = 322, 323, 324, 325, 338, 339
DEPTH, _METAMORPH = 32997, 33629
"""Planes of a picture (SGI); of a MetaMorph stack, whose entry counts its planes."""

Order = Literal["<", ">"]
UNCOMPRESSED = 1
_REDUCED = 1
"""Bit of `_SUBFILE`: the page is a small copy of another."""
_KINDS = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Type of an entry → code of one value. Fractions and floats say nothing that is asked for here."""
_MOST_VALUES = 10_000_000
"""Values of one tag that are read: more strips than any picture has."""


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
    directories: int
    """In the file, small copies of other pages left out."""
    size: int
    """Bytes of the file."""

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
        return self.directories if self.directories > 1 else max(1, self._behind())

    def _behind(self) -> int:
        """Planes behind a single directory, as a number of programs write them."""
        if _METAMORPH in self.tags:
            return self.tags[_METAMORPH].count
        if self.one(DEPTH, 1) > 1:
            return self.one(DEPTH, 1)
        planes = _planes_in(bytes(value & 0xFF for value in self.all(_DESCRIPTION)), self._values)
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


def _planes_in(description: bytes, values: int) -> int:
    """How many planes a description tells of: ImageJ's `images=N`, or tifffile's shape of all values. 1 where it tells none.

    `values`: numbers of one plane.
    """
    text = description.decode("latin-1")
    if text.startswith("ImageJ="):
        found = re.search(r"^images=(\d+)", text, re.MULTILINE)
        return int(found[1]) if found else 1
    if text.startswith("{") and '"shape"' in text:
        try:
            shape: Any = parse_json(text.rstrip("\0"))["shape"]
            return prod(int(size) for size in shape) // max(1, values)
        except (ValueError, TypeError, KeyError):
            return 1
    return 1


def read_directory(content: bytes) -> Directory:
    """The first directory and the number of all. Raises whatever parsing raises on a damaged file."""
    order: Order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
    first: dict[int, Tag] = {}
    pages, seen = 0, set[int]()
    while offset and offset not in seen:
        tags, following = _entries(content, offset, order, big, first=not seen)
        first = first or tags
        seen.add(offset)
        reduced = bool(tags[_SUBFILE].values[0] & _REDUCED) if _SUBFILE in tags else False
        pages += pages == 0 or not reduced  # a small copy that comes first would be taken for the picture
        offset = following
    return Directory(order, first, pages, len(content))


def _entries(content: bytes, offset: int, order: Order, big: bool, *, first: bool) -> tuple[dict[int, Tag], int]:
    """The tags at `offset` (of further directories only what tells small copies), and where the next directory is."""
    (number,) = struct.unpack_from(order + ("Q" if big else "H"), content, offset)
    start, size = offset + (8 if big else 2), 20 if big else 12
    (following,) = struct.unpack_from(order + ("Q" if big else "I"), content, start + number * size)
    tags = {}
    for place in range(start, start + number * size, size):
        (tag,) = struct.unpack_from(f"{order}H", content, place)
        if first or tag == _SUBFILE:
            tags[tag] = _tag(content, place, order, big)
    return tags, following


def _tag(content: bytes, place: int, order: Order, big: bool) -> Tag:
    kind, count = struct.unpack_from(order + ("HQ" if big else "HI"), content, place + 2)
    inline, pointer = place + (12 if big else 8), "Q" if big else "I"
    code = _KINDS.get(kind)
    if code is None or count > _MOST_VALUES:
        return Tag((), inline, count)
    length = count * struct.calcsize(order + code)
    position = inline if length <= struct.calcsize(pointer) else struct.unpack_from(order + pointer, content, inline)[0]
    values = np.frombuffer(content, np.dtype(code).newbyteorder(order), count, position) if count else np.zeros(0, int)
    return Tag(tuple(values.tolist()), position, count)
