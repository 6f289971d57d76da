"""Write a large gray TIFF row by row: BigTIFF in tiles, packed without loss, with smaller copies for viewers.

Nothing but a row of tiles of each size is held. A smaller copy has every second pixel of the one before, so that masks keep their
values.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from delineate.common.files import atomic_path

__all__ = ["TiledTiff"]

_SIDE = 512
"""Of a tile, in pixels."""
_LEAST = 1024
"""Height and width from which on there is a smaller copy."""
_LEVEL = 6
"""Of deflate."""
_HORIZONTAL = 2
"""Predictor: differences of neighbors, which smooth values are packed better as."""
_KINDS = {2: "s", 3: "H", 4: "I", 5: "2I", 16: "Q"}
_ASCII, _SHORT, _LONG, _RATIONAL, _LONG8 = _KINDS


class TiledTiff:
    """A file that is being written. It is there under its name once all rows are; until then, and after a fault, it is not.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from delineate.data.formats.registry import read_mask
        >>> from delineate.data.formats.tiff_tiled import TiledTiff
        >>> with TiledTiff(Path("large.tif"), (600, 800), np.dtype("uint8")) as file:
        ...     for _ in range(6):
        ...         file.add(np.full((100, 800), 255, np.uint8))
        >>> read_mask(Path("large.tif")).shape
        (600, 800)
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        dtype: np.dtype[Any],
        *,
        labels: str = "",
        microns: tuple[float, float] | None = None,
        copies: bool = True,
    ) -> None:
        """
        Args:
            path: of the file.
            size: height and width in pixels.
            dtype: uint8 or uint16.
            labels: what the values mean, as text.
            microns: distances of rows and columns in µm, if they are known.
            copies: whether smaller copies are written, too.
        """
        self._whole = _writing(path)
        self._size, self._dtype, self._labels, self._microns = size, dtype, labels, microns
        self._copies = copies
        self._levels: list[_Level] = []

    def __enter__(self) -> Self:
        stream = self._whole.__enter__()
        stream.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        height, width = self._size
        self._levels = [_Level(stream, height, width, self._dtype)]
        while self._copies and max(height, width) > _LEAST:
            height, width = -(-height // 2), -(-width // 2)
            self._levels.append(_Level(stream, height, width, self._dtype))
        self._stream = stream
        return self

    def add(self, rows: NDArray[Any]) -> None:
        """The next rows r×W, from the top."""
        for level in self._levels:
            first = level.added % 2
            level.add(rows)
            rows = rows[first::2, ::2]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            assert self._levels[0].added == self._size[0], "all rows are there"
            place = 8  # where the pointer to the first directory stands
            for number, level in enumerate(self._levels):
                place = self._directory(level, place, copy=number > 0)
        self._whole.__exit__(kind, error, trace)

    def _directory(self, level: _Level, pointer: int, *, copy: bool) -> int:
        """Write the directory of one size and point to it; returns where it points to the next."""
        level.flush()
        entries: list[tuple[int, int, Sequence[int] | bytes]] = [
            (254, _LONG, [int(copy)]),
            (256, _LONG, [level.width]),
            (257, _LONG, [level.height]),
            (258, _SHORT, [8 * self._dtype.itemsize]),
            (259, _SHORT, [8]),
            (262, _SHORT, [1]),
            (277, _SHORT, [1]),
            (317, _SHORT, [level.predictor]),
            (322, _LONG, [_SIDE]),
            (323, _LONG, [_SIDE]),
            (324, _LONG8, level.offsets),
            (325, _LONG8, level.counts),
            (339, _SHORT, [1]),
        ]
        if self._labels and not copy:
            entries.append((270, _ASCII, self._labels.encode() + b"\0"))
        if self._microns is not None:
            factors = self._size[0] / level.height, self._size[1] / level.width
            rows, columns = (size * factor for size, factor in zip(self._microns, factors, strict=True))
            entries += [(282, _RATIONAL, _per_cm(columns)), (283, _RATIONAL, _per_cm(rows)), (296, _SHORT, [3])]
        stream, body = self._stream, b""
        start = stream.seek(0, 2)
        after = start + 8 + 20 * len(entries) + 8
        packed = struct.pack("<Q", len(entries))
        for tag, kind, values in sorted(entries):
            data = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{_KINDS[kind][-1]}", *values)
            count = len(values) // 2 if kind == _RATIONAL else len(values)
            inline = data.ljust(8, b"\0")
            if len(data) > 8:
                inline = struct.pack("<Q", after + len(body))
                body += data + b"\0" * (-len(data) % 8)
            packed += struct.pack("<HHQ", tag, kind, count) + inline
        stream.write(packed + struct.pack("<Q", 0) + body)
        stream.seek(pointer)
        stream.write(struct.pack("<Q", start))
        stream.seek(0, 2)
        return after - 8


class _Level:
    """One size of the picture: the tiles that have been written, and the rows that wait for a whole row of tiles."""

    def __init__(self, stream: BinaryIO, height: int, width: int, dtype: np.dtype[Any]) -> None:
        self.height, self.width, self.added = height, width, 0
        self.predictor = _HORIZONTAL if dtype.itemsize > 1 else 1
        self.offsets: list[int] = []
        self.counts: list[int] = []
        self._stream = stream
        self._waiting = np.zeros((_SIDE, -(-width // _SIDE) * _SIDE), dtype)

    def add(self, rows: NDArray[Any]) -> None:
        while len(rows):
            at = self.added % _SIDE
            taken = rows[: _SIDE - at]
            self._waiting[at : at + len(taken), : self.width] = taken
            self.added += len(taken)
            rows = rows[len(taken) :]
            if self.added % _SIDE == 0:
                self._write()

    def flush(self) -> None:
        """The last row of tiles, filled up with zeros."""
        if at := self.added % _SIDE:
            self._waiting[at:] = 0
            self._write()

    def _write(self) -> None:
        for left in range(0, self._waiting.shape[1], _SIDE):
            tile = np.ascontiguousarray(self._waiting[:, left : left + _SIDE])
            if self.predictor == _HORIZONTAL:
                tile = np.diff(tile, axis=1, prepend=tile.dtype.type(0))
            packed = zlib.compress(tile.astype(tile.dtype.newbyteorder("<"), copy=False).tobytes(), _LEVEL)
            self.offsets.append(self._stream.tell())
            self.counts.append(len(packed))
            self._stream.write(packed)


@contextmanager
def _writing(path: Path) -> Iterator[BinaryIO]:
    with atomic_path(path) as temporary, temporary.open("w+b") as stream:
        yield stream


def _per_cm(microns: float) -> list[int]:
    """Pixels in a centimeter as a fraction of two 32-bit numbers."""
    number, scale = 1e4 / microns, 1
    while number * scale < 1 << 20 and scale < 1 << 20:
        scale *= 2
    return [round(number * scale), scale]
