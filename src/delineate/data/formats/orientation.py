"""How a stored picture is turned for looking at it: EXIF's orientation, read and applied alike for JPEG, PNG and TIFF.

It is read from the EXIF block alone (and from TIFF's own tag, of which EXIF's is a copy), as browsers and image viewers do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TAG", "UPRIGHT", "checked", "exif_orientation", "jpeg_orientation", "jpeg_segments", "turned"]

TAG = 274
"""Of the orientation, in TIFF and in EXIF, which is a TIFF without pixels."""
UPRIGHT = 1

_SHORT = 3
_EXIF_MARK = b"Exif\0\0"


def turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """H×W(×C) as it is stored → as it is to be seen. A copy in memory order where anything moves."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)  # as 5 says; what is left is a flip
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.ascontiguousarray(np.flip(array, flips))


def exif_orientation(exif: bytes) -> int:
    """The orientation that an EXIF block states, 1…8; 1 (upright) where it states none, or is damaged."""
    exif = exif.removeprefix(_EXIF_MARK)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return UPRIGHT
    try:
        offset = struct.unpack_from(f"{order}I", exif, 4)[0]
        (entries,) = struct.unpack_from(f"{order}H", exif, offset)
        for place in range(offset + 2, offset + 2 + 12 * entries, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, place)
            if (tag, kind) == (TAG, _SHORT):
                return checked(value)
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def checked(value: int) -> int:
    """A stated orientation; upright for one that does not exist."""
    return value if 1 <= value <= 8 else UPRIGHT


def jpeg_orientation(content: bytes) -> int:
    """The orientation of a JPEG file."""
    exif = (data for marker, data in jpeg_segments(content) if marker == 0xE1 and data.startswith(_EXIF_MARK))
    return exif_orientation(next(exif, b""))


def jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and data of a JPEG's segments, up to its pixels; ends where the file does not go on as it should."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7:  # filling, and markers without data
            place += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD9, 0xDA):
            return
        length = int.from_bytes(content[place + 2 : place + 4])
        yield marker, content[place + 4 : place + 2 + length]
        place += 2 + max(2, length)
