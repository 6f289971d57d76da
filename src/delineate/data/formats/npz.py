"""Slices of arrays in NumPy's .npz files. These are packed as a whole, so that no slice can be read alone.

An array is unpacked once and kept, as long as it is small; of a large one, the slices are read in their order, as whoever goes
through a data set asks for them, and the latest are kept. So a set of ten thousand pictures is unpacked once, not once for each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

__all__ = ["PARSER", "Key", "read_headers", "read_slice", "read_whole"]

PARSER = Lock()
"""Held where NumPy parses a header: it does so as Python source, and Python 3.11's parser fails at times in several threads at once
(CPython's issue 106905)."""

_KEPT_BYTES = 1 << 31
"""Of all arrays that are kept; the latest is kept whatever its size."""
_WHOLE_BYTES = 1 << 30
"""Arrays above this size are read slice by slice."""
_WINDOW_BYTES = 1 << 28
"""Of the latest slices of such an array."""

Key = tuple[Path, str, int, int]
"""File and array; when the file was changed, and its bytes."""
_HEADERS: Mapping[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_headers(path: Path) -> dict[str, tuple[tuple[int, ...], int]]:
    """Array → its shape, and the bytes of one number. Raises whatever opening raises."""
    state = path.stat()
    return _headers(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _headers(path: Path, *_state: int) -> dict[str, tuple[tuple[int, ...], int]]:
    found: dict[str, tuple[tuple[int, ...], int]] = {}
    with ZipFile(path) as archive:
        for member in (name for name in archive.namelist() if name.endswith(".npy")):
            with archive.open(member) as stream:
                shape, _, dtype = _header(stream)
                found[member.removesuffix(".npy")] = shape, dtype.itemsize
    return found


def read_whole(path: Path, name: str) -> NDArray[Any]:
    """One array. Raises `KeyError` where there is none of that name."""
    with PARSER, np.load(path, allow_pickle=False) as arrays:
        return arrays[name]


def read_slice(path: Path, name: str, number: int) -> NDArray[Any]:
    """What lies at a place of an array's first axis. Raises `IndexError`, and whatever unpacking raises."""
    state = path.stat()
    return _KEPT.slice((path, name, state.st_mtime_ns, state.st_size), number)


class _Whole:
    """An array that is kept unpacked."""

    def __init__(self, key: Key) -> None:
        self._array = read_whole(key[0], key[1])
        self.bytes = self._array.nbytes

    def slice(self, number: int) -> NDArray[Any]:
        return self._array[number]


class _Stream:
    """An array that is unpacked in the order of its slices; going back to one that is kept no more starts anew."""

    def __init__(self, key: Key) -> None:
        self._path, self._name = key[:2]
        self._archive = ZipFile(self._path)
        self._latest: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._start()
        self._slice_bytes = int(np.prod(self._shape[1:], dtype=np.int64)) * self._dtype.itemsize
        self.bytes = _WINDOW_BYTES

    def slice(self, number: int) -> NDArray[Any]:
        if not 0 <= number < self._shape[0]:
            raise IndexError(number)
        if number in self._latest:
            return self._latest[number]
        if number < self._next:
            self._start()
        while self._next <= number:
            self._read()
        return self._latest[number]

    def _start(self) -> None:
        self._stream: IO[bytes] = self._archive.open(f"{self._name}.npy")
        self._shape, fortran, self._dtype = _header(self._stream)
        if fortran or self._dtype.hasobject:
            raise ValueError("its array is stored column by column" if fortran else "it holds Python objects")
        self._next = 0

    def _read(self) -> None:
        content = self._stream.read(self._slice_bytes)
        if len(content) < self._slice_bytes:
            raise ValueError(f"its array '{self._name}' ends at slice {self._next}")
        self._latest[self._next] = np.frombuffer(content, self._dtype).reshape(self._shape[1:])
        self._next += 1
        while len(self._latest) * self._slice_bytes > _WINDOW_BYTES and len(self._latest) > 1:
            self._latest.popitem(last=False)


class _Kept:
    """The arrays used last. One is unpacked at a time, so that threads which ask for the same wait for it."""

    def __init__(self) -> None:
        self._arrays: OrderedDict[Key, _Whole | _Stream] = OrderedDict()
        self._lock = Lock()

    def slice(self, key: Key, number: int) -> NDArray[Any]:
        with self._lock:
            if key not in self._arrays:
                shape, itemsize = read_headers(key[0])[key[1]]
                large = int(np.prod(shape, dtype=np.int64)) * itemsize > _WHOLE_BYTES
                self._arrays[key] = (_Stream if large else _Whole)(key)
            self._arrays.move_to_end(key)
            while len(self._arrays) > 1 and sum(one.bytes for one in self._arrays.values()) > _KEPT_BYTES:
                self._arrays.popitem(last=False)
            return self._arrays[key].slice(number)


_KEPT = _Kept()


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    header = _HEADERS[np.lib.format.read_magic(stream)]
    with PARSER:
        return header(stream)
