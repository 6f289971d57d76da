"""Locks between processes, held on a file. They go when their process does, however that ends."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["PAUSE", "UNSUPPORTED", "lock_if_free", "locked", "try_lock"]

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What a file system without locks answers."""

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """The byte that is locked: behind all content, since Windows lets nobody else read a locked one."""

    def try_lock(stream: IO[bytes], *, shared: bool = False) -> bool:
        """Take the lock of an open file if nobody holds it; `shared` with others that ask for no more (not on Windows).

        Raises `OSError` with a number of `UNSUPPORTED` where the file system has no locks.
        """
        stream.seek(_FAR)
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def try_lock(stream: IO[bytes], *, shared: bool = False) -> bool:
        """Take the lock of an open file if nobody holds it; `shared` with others that ask for no more (not on Windows).

        Raises `OSError` with a number of `UNSUPPORTED` where the file system has no locks.
        """
        try:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


PAUSE = 0.1
"""Seconds between two attempts."""


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path` (made if absent); `on_wait` is called once when another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        if not try_lock(stream):
            if on_wait is not None:
                on_wait()
            while not try_lock(stream):
                time.sleep(PAUSE)
        yield


@contextmanager
def lock_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file if nobody else does; yields whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        yield try_lock(stream)
