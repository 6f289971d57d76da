"""Arrays with a record for each sample, on disk in the user's cache: whole or absent, with checksums, and memory-mapped.

An entry is a folder (`data.cache.entries`) that is named by everything that its content depends on. It has a file for each column
and an index with their checksums; it is built beside its place under a lock and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.file_lock import locked
from delineate.common.files import checksum, read_json
from delineate.data.cache.entries import INDEX, begin_entry, entries_folder, finish_entry, remove_entry
from delineate.data.cache.eviction import DEFAULT_LIMIT_BYTES, cache_error, evict, lock_of, readable_size

__all__ = ["Array", "Column", "Record", "Store"]

Record = Mapping[str, NDArray[Any]]
"""What all columns hold of one sample."""
Array = NDArray[Any] | tuple[NDArray[Any], ...]
_Shape = tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """What the records of one file look like."""

    dtype: np.dtype[Any]
    shapes: tuple[_Shape, ...]
    """Of each record."""

    @classmethod
    def of(cls, dtype: Any, shape: _Shape, count: int) -> Column:
        """`count` records of one shape."""
        return cls(np.dtype(dtype), (shape,) * count)

    @property
    def sizes(self) -> list[int]:
        """Elements of each record."""
        return [int(np.prod(shape)) for shape in self.shapes]

    @property
    def bytes(self) -> int:
        return sum(self.sizes) * self.dtype.itemsize

    def map(self, path: Path) -> Array:
        """Read-only: one array N×…, or a view for each record where their shapes differ."""
        # As a plain array: indexing a memmap makes a new memmap object each time, which is slow.
        flat = np.asarray(np.memmap(path, self.dtype, "r"))
        if len(set(self.shapes)) == 1:
            return flat.reshape(len(self.shapes), *self.shapes[0])
        parts = np.split(flat, np.cumsum(self.sizes[:-1]))
        return tuple(part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True))


@dataclass(frozen=True)
class Store:
    """Where entries live, and how much all of them may take."""

    folder: Path
    limit_bytes: int = DEFAULT_LIMIT_BYTES
    announce: Callable[[str], None] = lambda _: None
    """Told size and place before anything is written."""

    @classmethod
    def at(
        cls, folder: Path | None, limit_bytes: int = DEFAULT_LIMIT_BYTES, announce: Callable[[str], None] | None = None
    ) -> Store:
        """In `folder`, or in the user's cache."""
        return cls(entries_folder(folder), limit_bytes, announce or (lambda _: None))

    def arrays(
        self,
        what: str,
        content: Any,
        columns: Mapping[str, Column],
        make: Callable[[], Iterable[Record]],
        smaller: str = "a smaller --size",
    ) -> dict[str, Array]:
        """The entry that `content` (plain types) names, read-only; made when it is not there, or damaged.

        `what`: a few words for the user; `make` yields the records in order; `smaller`: what makes the entry smaller. Older entries
        make room when all of them would take more than the limit. Raises `DataError` when the entry alone is above it,
        `DelineateError` when the folder cannot be written.
        """
        entry = _Entry(self.folder / _key(content, columns), columns)
        if entry.size > self.limit_bytes:
            raise DataError(
                f"the cache of {what} needs {readable_size(entry.size)}, above the limit of {readable_size(self.limit_bytes)}; "
                f"raise --cache-limit or choose {smaller}"
            )
        waiting = f"another process is writing the cache {entry.path}; waiting for it"
        try:
            with locked(lock_of(entry.path), lambda: self.announce(waiting)):
                if not entry.sound():
                    self.announce(f"cache: {what}, {readable_size(entry.size)}, in {entry.path}")
                    evict(entry.path, entry.size, self.limit_bytes)
                    entry.build(make())
                os.utime(entry.path / INDEX)
                return {name: column.map(entry.file(name)) for name, column in columns.items()}
        except OSError as error:
            raise cache_error(error, self.folder, entry.size) from error


@dataclass(frozen=True)
class _Entry:
    path: Path
    columns: Mapping[str, Column]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(column.bytes for column in self.columns.values())

    def file(self, name: str) -> Path:
        return self.path / f"{name}.bin"

    def sound(self) -> bool:
        """Whether all files are there, with the checksums that they were written with."""
        try:
            index = read_json(self.path / INDEX)
            if any(self.file(name).stat().st_size != column.bytes for name, column in self.columns.items()):
                return False
            return all(checksum(self.file(name)) == index[name] for name in self.columns)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def build(self, made: Iterable[Record]) -> None:
        """Write record by record; plain writes, since a full disk kills whoever writes to a memory map."""
        building = self.path.with_name(f"{self.path.name}.building")
        begin_entry(building)
        try:
            index = dict.fromkeys(self.columns, 0)
            with ExitStack() as stack:
                streams = {name: stack.enter_context((building / f"{name}.bin").open("wb")) for name in self.columns}
                for number, record in enumerate(made):
                    for name, column in self.columns.items():
                        array = np.ascontiguousarray(record[name], column.dtype)
                        assert array.shape == column.shapes[number], (
                            f"{name}: {array.shape}, not {column.shapes[number]}"
                        )
                        streams[name].write(array.data)
                        index[name] = zlib.crc32(array.data, index[name])
            (building / INDEX).write_text(json.dumps(index, allow_nan=False), encoding="utf-8")
            finish_entry(building, self.path)
        finally:
            remove_entry(building)


def _key(content: Any, columns: Mapping[str, Column]) -> str:
    described = {name: [str(column.dtype), sorted(set(column.shapes))] for name, column in columns.items()}
    text = json.dumps([content, described], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
