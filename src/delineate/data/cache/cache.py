"""Decode once: images and masks at the working size, in the source's own type, as memory-mapped files in the user's cache folder.

Entries (`data.cache.entry`) are built beside their place and renamed, under a lock.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, DelineateError
from delineate.common.locks import lock_if_free, locked
from delineate.data.augment.windows import Contents
from delineate.data.cache.entry import Entry, Index
from delineate.data.cache.place import INDEX, begin_entry, cache_place, entries, finish_entry, remove_entry
from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.core.findings import count
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS

DEFAULT_LIMIT_BYTES = 20 * 1024**3
"""Room that all entries together may take."""

_WORKERS = max(1, min(8, os.cpu_count() or 1))


@dataclass(frozen=True)
class Cache:
    """The decoded samples of some cases, in their order. Views are read-only."""

    cases: tuple[Case, ...]
    images: NDArray[Any] | tuple[Pixels, ...]
    """N×H×W×C, uint8 or uint16; of fit `patch`: N of H×W×C, each of its own size."""
    masks: NDArray[np.uint8] | tuple[NDArray[np.uint8], ...]
    """N×H×W class indices, 255 = ignore; of fit `patch`: N of H×W."""
    contents: tuple[Contents, ...] = ()
    """Of fit `patch`: what windows are drawn by, for each image."""

    def __len__(self) -> int:
        return len(self.cases)

    def image(self, index: int) -> Pixels:
        """H×W×C view of one image."""
        return self.images[index]

    def mask(self, index: int) -> NDArray[np.uint8]:
        """H×W view of one mask; all 255 where unlabelled."""
        return self.masks[index]

    def labelled(self, index: int) -> bool:
        return bool(self.cases[index].masks)


def open_cache(
    manifest: Manifest,
    cases: Sequence[Case],
    spec: InputSpec,
    *,
    folder: Path | None = None,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    announce: Callable[[str], None] = lambda _: None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Cache:
    """The cache of `cases`, built if it is not there or damaged.

    `folder`: where entries live (default: the user's cache folder). `announce` is told size and place before anything is
    written. Older entries make room when all of them would take more than `limit_bytes`. Raises `DataError` when this entry
    alone is larger, when a source cannot be read or has changed since the manifest was made.
    """
    if not cases:
        raise DataError(f"{manifest.root}: there are no cases to cache")
    entry = Entry.of(manifest, cases, spec, cache_place(folder))
    if entry.size > limit_bytes:
        smaller = "a smaller input.scale" if spec.fit == "patch" else "a smaller --size"
        raise DataError(
            f"the cache of {len(cases)} samples needs {amount(entry.size)}, above the limit of {amount(limit_bytes)}; "
            f"raise --cache-limit or choose {smaller}"
        )
    try:
        with locked(entry.lock, lambda: announce(f"another process is writing the cache {entry.path}; waiting for it")):
            if (index := entry.sound()) is None:
                size = "their own size" if spec.fit == "patch" else f"{spec.size[0]}×{spec.size[1]}"
                announce(f"cache: {count(len(cases), 'sample')} at {size}, {amount(entry.size)}, in {entry.path}")
                make_room(entry.path, entry.size, limit_bytes)
                index = _build(entry, manifest, cases, spec, max_pixels)
            os.utime(entry.path / INDEX)
            return Cache(tuple(cases), *entry.mapped(index))
    except OSError as error:
        raise explain(error, entry.folder, entry.size) from error


def _build(entry: Entry, manifest: Manifest, cases: Sequence[Case], spec: InputSpec, max_pixels: int) -> Index:
    """Decode in threads, write in order, rename at the end. Plain writes, for a full disk kills whoever writes to a memory map."""
    building = entry.folder / f"{entry.key}.building"
    begin_entry(building)
    try:
        index: Index = {"cases": len(cases), "dtype": str(entry.dtype), "root": manifest.root, **entry.description()}
        with ExitStack() as stack:
            streams = {name: stack.enter_context((building / f"{name}.bin").open("wb")) for name in entry.names}
            for image, mask in _decoded(manifest, cases, spec, max_pixels):
                for name, array in entry.record(index, image, mask).items():
                    streams[name].write(array.data)
                    index[name] = zlib.crc32(array.data, index.get(name, 0))
        entry.seal(index)
        (building / INDEX).write_text(json.dumps(index, allow_nan=False), encoding="utf-8")
        finish_entry(building, entry.path)
        return index
    finally:
        remove_entry(building)


def _decoded(
    manifest: Manifest, cases: Sequence[Case], spec: InputSpec, max_pixels: int
) -> Iterator[tuple[Pixels, NDArray[np.uint8]]]:
    """Image and mask at the working size, in the cases' order; only a few are decoded ahead."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        waiting: list[Future[tuple[Pixels, NDArray[np.uint8]]]] = []
        todo = iter(cases)
        try:
            while True:
                ahead = islice(todo, 2 * _WORKERS - len(waiting))
                waiting += [pool.submit(_sample, manifest, case, spec, max_pixels) for case in ahead]
                if not waiting:
                    return
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(cancel_futures=True)


def _sample(manifest: Manifest, case: Case, spec: InputSpec, max_pixels: int) -> tuple[Pixels, NDArray[np.uint8]]:
    image = _as_bits(spec.working_pixels(case_image(manifest, case, max_pixels=max_pixels)), spec.source_bits)
    mask = case_mask(manifest, case, max_pixels=max_pixels)
    working = np.full(image.shape[:2], IGNORE, np.uint8) if mask is None else spec.working_mask(mask)
    return np.ascontiguousarray(image), np.ascontiguousarray(working)


def _as_bits(image: Pixels, bits: int) -> Pixels:
    """8-bit images among 16-bit ones, and the reverse: the same fraction of the type's range."""
    if image.dtype == np.uint8 and bits == 16:
        return image.astype(np.uint16) * np.uint16(257)
    if image.dtype == np.uint16 and bits == 8:
        return np.round(image / np.float32(257)).astype(np.uint8)
    return image


def make_room(path: Path, size: int, limit_bytes: int) -> None:
    """Remove the entries used longest ago until one of `size` bytes at `path` fits among them; those that another process works
    on stay, and so does every folder that is no entry (`data.cache.place`). An entry's lock is `locks/NAME.lock` beside it."""
    others = []
    for other in entries(path.parent):
        if other != path:
            with suppress(OSError):
                taken = sum(file.stat().st_size for file in other.iterdir())
                others.append(((other / INDEX).stat().st_mtime, taken, other))
    excess = sum(taken for _, taken, _ in others) + size - limit_bytes
    for _, taken, other in sorted(others):
        if excess <= 0:
            return
        with lock_if_free(path.parent / "locks" / f"{other.name}.lock") as free:
            if free:
                remove_entry(other)
                excess -= taken


def amount(size: int) -> str:
    """Bytes for the reader."""
    if size < 1024**2:
        return f"{size / 1024:.0f} KiB"
    return f"{size / 1024**2:.0f} MiB" if size < 1024**3 else f"{size / 1024**3:.1f} GiB"


def explain(error: OSError, folder: Path, size: int) -> DelineateError:
    """The error for an entry of `size` bytes that could not be written to or read from `folder`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DelineateError(
            f"no room for the cache: {amount(size)} are needed in {folder} and the disk is full; "
            "free some space, choose a smaller --size, or another disk with --cache-dir"
        )
    return DelineateError(
        f"cannot use the cache folder {folder}: {error.strerror or error}; choose another one with --cache-dir"
    )
