"""Arrays with a row for each slice, kept on disk in the user's cache beside the data room's entries, and memory-mapped.

An entry is named by everything that its content depends on, built beside its place, renamed at the end, and removed as the
data room's are when room is needed.
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
from delineate.common.files import checksum, read_json
from delineate.common.locks import locked
from delineate.data.cache.cache import DEFAULT_LIMIT_BYTES, amount, explain, make_room
from delineate.data.cache.place import INDEX, begin_entry, cache_place, finish_entry, remove_entry

Rows = Mapping[str, NDArray[Any]]


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
        return cls(cache_place(folder), limit_bytes, announce or (lambda _: None))

    def arrays(
        self,
        what: str,
        content: Any,
        count: int,
        rows: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]],
        make: Callable[[], Iterable[Rows]],
    ) -> dict[str, NDArray[Any]]:
        """The entry of `count` rows that `content` (plain types) names, read-only; made when it is not there, or damaged.

        `what`: a few words for the user; `rows`: shape and type of each array's rows; `make` yields the rows in order. Raises
        `DataError` when the entry alone is above the limit, `DelineateError` when the folder cannot be written.
        """
        entry = _Entry(self.folder, _key(content, rows), count, rows)
        if entry.size > self.limit_bytes:
            raise DataError(
                f"{what} of {count} slices need {amount(entry.size)}, above the limit of {amount(self.limit_bytes)}; "
                "raise --cache-limit or choose a smaller --size"
            )
        lock = self.folder / "locks" / f"{entry.path.name}.lock"
        try:
            with locked(lock, lambda: self.announce(f"another process is writing {entry.path}; waiting for it")):
                if not entry.sound():
                    self.announce(f"cache: {what} of {count} slices, {amount(entry.size)}, in {entry.path}")
                    make_room(entry.path, entry.size, self.limit_bytes)
                    entry.build(make())
                os.utime(entry.path / INDEX)
                return entry.mapped()
        except OSError as error:
            raise explain(error, self.folder, entry.size) from error


@dataclass(frozen=True)
class _Entry:
    folder: Path
    key: str
    count: int
    rows: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]

    @property
    def path(self) -> Path:
        return self.folder / self.key

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {name: self.count * int(np.prod(shape)) * dtype.itemsize for name, (shape, dtype) in self.rows.items()}

    @property
    def size(self) -> int:
        return sum(self.sizes.values())

    def sound(self) -> bool:
        """Whether all files are there, with the checksums that they were written with."""
        try:
            index = read_json(self.path / INDEX)
            contents = {name: (self.path / f"{name}.bin") for name in self.rows}
            if {name: file.stat().st_size for name, file in contents.items()} != self.sizes:
                return False
            return all(checksum(file) == index[name] for name, file in contents.items())
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def build(self, made: Iterable[Rows]) -> None:
        """Write row by row; plain writes, since a full disk kills whoever writes to a memory map."""
        building = self.folder / f"{self.key}.building"
        begin_entry(building)
        try:
            index = dict.fromkeys(self.rows, 0)
            with ExitStack() as stack:
                streams = {name: stack.enter_context((building / f"{name}.bin").open("wb")) for name in self.rows}
                for each in made:
                    for name, (shape, dtype) in self.rows.items():
                        row = np.ascontiguousarray(each[name], dtype)
                        assert row.shape == shape, f"{name}: {row.shape} instead of {shape}"
                        streams[name].write(row.data)
                        index[name] = zlib.crc32(row.data, index[name])
            (building / INDEX).write_text(json.dumps(index, allow_nan=False), encoding="utf-8")
            finish_entry(building, self.path)
        finally:
            remove_entry(building)

    def mapped(self) -> dict[str, NDArray[Any]]:
        # As plain arrays: indexing a memmap makes a new memmap object each time, which is slow.
        return {
            name: np.asarray(np.memmap(self.path / f"{name}.bin", dtype, "r", shape=(self.count, *shape)))
            for name, (shape, dtype) in self.rows.items()
        }


def _key(content: Any, rows: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    described = [content, {name: [list(shape), str(dtype)] for name, (shape, dtype) in rows.items()}]
    return hashlib.sha256(json.dumps(described, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]
