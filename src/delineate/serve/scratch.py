"""Where uploads lie while they are worked on: in files, since all readers of formats read files, but in memory, not on a disk.

Linux has a file system in memory at `/dev/shm`. The folder is the user's alone, has no name that a client chose, and each request's
part of it is removed with the request. What a killed server left is removed when the next one starts.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from delineate.common.errors import DelineateError
from delineate.common.file_lock import try_lock

__all__ = ["MEMORY", "Scratch"]

MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one."""
_PREFIX, _LOCK = "delineate-serve-", "lock"


class Scratch:
    """The folder of one server."""

    def __init__(self, folder: Path | None = None) -> None:
        """
        Args:
            folder: In which it is made. None: in memory, or where there is no such file system, among temporary files.

        Raises:
            DelineateError: It cannot be made there.
        """
        base = folder or (MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
        self.in_memory = base == MEMORY
        try:
            _remove_left(base)
            self.folder = base / f"{_PREFIX}{secrets.token_hex(8)}"
            self.folder.mkdir(mode=0o700)
            self._lock = (self.folder / _LOCK).open("ab")
            try_lock(self._lock)
        except OSError as error:
            raise DelineateError(
                f"cannot keep uploads in {base}: {error.strerror or error}; give another folder with --scratch"
            ) from error

    def new(self) -> Path:
        """An empty folder for one request; whoever asked removes it (`remove`)."""
        made = self.folder / secrets.token_hex(8)
        made.mkdir(mode=0o700)
        return made

    @staticmethod
    def remove(folder: Path) -> None:
        """All that is in it, too."""
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove everything."""
        self.remove(self.folder)
        self._lock.close()


def _remove_left(base: Path) -> None:
    """Folders of servers that do not run any more: nobody holds their lock. Those of other users cannot be opened."""
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / _LOCK).open("rb+") as stream:
            if try_lock(stream):
                shutil.rmtree(folder, ignore_errors=True)
