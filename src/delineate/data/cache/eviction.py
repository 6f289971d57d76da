"""The size limit of the cache: the entries that were used longest ago are removed first. Messages for a full disk."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

from delineate.common.errors import DelineateError
from delineate.common.file_lock import lock_if_free
from delineate.data.cache.entries import INDEX, entries, remove_entry

__all__ = ["DEFAULT_LIMIT_BYTES", "cache_error", "evict", "lock_of", "readable_size"]

DEFAULT_LIMIT_BYTES = 20 * 1024**3
"""Room that all entries together may take."""


def evict(path: Path, size: int, limit_bytes: int) -> None:
    """Remove the entries used longest ago until one of `size` bytes at `path` fits among them; those that another process works
    on stay, and so does every folder that is no entry (`data.cache.entries`). An entry's lock is `locks/NAME.lock` beside it."""
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
        with lock_if_free(lock_of(other)) as free:
            if free:
                remove_entry(other)
                excess -= taken


def lock_of(path: Path) -> Path:
    """The file that is locked while the entry `path` is written or removed."""
    return path.parent / "locks" / f"{path.name}.lock"


def readable_size(size: int) -> str:
    """Bytes for the reader."""
    if size < 1024**2:
        return f"{size / 1024:.0f} KiB"
    return f"{size / 1024**2:.0f} MiB" if size < 1024**3 else f"{size / 1024**3:.1f} GiB"


def cache_error(error: OSError, folder: Path, size: int) -> DelineateError:
    """The error for an entry of `size` bytes that could not be written to or read from `folder`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DelineateError(
            f"no room for the cache: {readable_size(size)} are needed in {folder} and the disk is full; "
            "free some space, choose a smaller --size, or another disk with --cache-dir"
        )
    return DelineateError(
        f"cannot use the cache folder {folder}: {error.strerror or error}; choose another one with --cache-dir"
    )
