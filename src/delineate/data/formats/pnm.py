"""PBM, PGM and PPM (Netpbm's P1 … P6) → the numbers that the file holds, in text or in bytes.

Pillow stretches them to 8 or 16 bits, so that a mask of 0, 1 and 2 would come out as 0, 127 and 255.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.formats.unreadable import UnreadableError

__all__ = ["is_pnm", "read_numbers", "read_stated"]

_FIELD = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+([0-9]+)")
_BITMAPS, _COLORS = (b"P1", b"P4"), (b"P3", b"P6")
_TEXT = (b"P1", b"P2", b"P3")
_KINDS = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")


@dataclass(frozen=True)
class _Stated:
    """The header."""

    kind: bytes
    width: int
    height: int
    most: int
    """The number that stands for white; 1 of bitmaps."""
    start: int
    """Where the pixels begin."""

    @property
    def channels(self) -> int:
        return 3 if self.kind in _COLORS else 1

    @property
    def bits(self) -> int:
        """Of a number."""
        return max(1, self.most.bit_length())


def is_pnm(content: bytes) -> bool:
    """Whether the first bytes are those of such a file."""
    return content[:2] in _KINDS and content[2:3] in (b" ", b"\t", b"\r", b"\n", b"#")


def read_stated(content: bytes) -> _Stated:
    """The header. Raises `ValueError` where it is not whole, `UnreadableError` for numbers of more than 16 bits."""
    kind, at, numbers = content[:2], 2, []
    for _ in range(2 if kind in _BITMAPS else 3):
        match = _FIELD.match(content, at)
        if match is None:
            raise ValueError("its header ends too soon")
        numbers.append(int(match[1]))
        at = match.end()
    most = 1 if kind in _BITMAPS else numbers[2]
    if not 0 < most < 65536:
        raise UnreadableError(f"is a Netpbm picture with {most} for white; 1 to 65535 are readable")
    return _Stated(kind, numbers[0], numbers[1], most, at + 1)


def read_numbers(content: bytes, stated: _Stated) -> NDArray[Any]:
    """H×W or H×W×3 numbers as stored, uint8 or uint16; of bitmaps 1 is white.

    Raises `ValueError` where some are missing or too large, `UnreadableError` for several pictures in a file.
    """
    shape = (stated.height, stated.width) + ((3,) if stated.channels == 3 else ())
    number = int(np.prod(shape))
    wide = stated.most > 255
    if stated.kind not in _TEXT:
        row = -(-stated.width // 8) if stated.kind == b"P4" else stated.width * stated.channels * (1 + wide)
        _check_end(content, stated.start + row * stated.height)
    if stated.kind == b"P4":
        packed = np.frombuffer(content, np.uint8, row * stated.height, stated.start).reshape(stated.height, row)
        return 1 - np.unpackbits(packed, axis=1)[:, : stated.width]
    if stated.kind not in _TEXT:
        found = np.frombuffer(content, ">u2" if wide else np.uint8, number, stated.start)
    else:
        found = _from_text(content[stated.start - 1 :], stated, number)
    if found.size and int(found.max()) > stated.most:
        raise ValueError(f"it has the number {found.max()}, above its own limit of {stated.most}")
    if stated.kind == b"P1":
        found = 1 - found
    return found.reshape(shape).astype(np.uint16 if wide else np.uint8)


def _check_end(content: bytes, end: int) -> None:
    """Raise `UnreadableError` where another picture follows."""
    if is_pnm(content[end:].lstrip()[:3]):
        raise UnreadableError("holds several pictures, one after the other: save each as a file")


def _from_text(text: bytes, stated: _Stated, number: int) -> NDArray[Any]:
    text = re.sub(rb"#[^\r\n]*", b"", text)
    if stated.kind == b"P1":
        text = b" ".join(bytes([digit]) for digit in text if digit in b"01")  # digits may stand without spaces
    found = np.array(text.split()[:number], np.int64)
    if found.size < number or found.min(initial=0) < 0:
        raise ValueError(f"{number} numbers are promised, and {found.size} are there")
    return found
