"""Folders that one process at a time writes to: a lock file inside, which tells who holds it.

The operating system gives the lock back when its process ends, also by a kill. So a lock file that nobody holds means that its
process is gone.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from delineate.common.errors import DelineateError
from delineate.common.file_lock import PAUSE, UNSUPPORTED, try_lock
from delineate.common.files import output_folder

__all__ = ["folder_contents", "folder_holder", "hold_folder"]

_LOCK = ".lock"
_ATTEMPTS = 6
"""Who only asks whether a folder is in use holds its lock for a moment; that must not look like an owner."""


def folder_contents(folder: Path) -> list[Path]:
    """What is in a folder, its lock file excepted; nothing where there is no folder."""
    return [path for path in folder.iterdir() if path.name != _LOCK] if folder.is_dir() else []


@contextmanager
def hold_folder(folder: Path, note: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold `folder` (made if absent) for the block; afterwards a folder that was made and is still empty is gone again.

    `note` is told where the file system has no locks: then nothing is held. Raises `DelineateError` with one line that names the
    process when another holds it, and when the folder cannot be written.
    """
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    output_folder(folder)
    stream = None
    try:
        stream = _take(folder, note)
        yield
    finally:
        if stream is not None:
            # While it is held: whoever opened the file before finds that it is no longer the folder's, and opens it anew.
            with suppress(OSError):
                (folder / _LOCK).unlink()
            stream.close()
        for path in absent:
            with suppress(OSError):
                path.rmdir()


def folder_holder(folder: Path) -> str | None:
    """Who holds a folder ("process 12 on host"), or None when nobody does."""
    try:
        with (folder / _LOCK).open("rb") as stream:
            return None if try_lock(stream, shared=True) else _who(folder)
    except OSError:  # no lock file, or no locks here
        return None


def _take(folder: Path, note: Callable[[str], None]) -> IO[bytes] | None:
    """The open lock file, or None where there are no locks."""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / _LOCK).open("a+b")
        try:
            taken = try_lock(stream)
        except OSError as error:
            stream.close()
            if error.errno not in UNSUPPORTED:
                raise
            note(f"{folder} is on a file system without locks: make sure that no other process writes there")
            return None
        if taken and _is_there(stream, folder / _LOCK):
            _sign(stream)
            return stream
        stream.close()
    raise DelineateError(f"{folder} is in use by {_who(folder)}; wait until it has ended, or use another --out")


def _is_there(stream: IO[bytes], path: Path) -> bool:
    """Whether the open file is still the one at `path`: a former holder may have removed it in between."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    return False


def _sign(stream: IO[bytes]) -> None:
    stream.truncate(0)
    stream.seek(0)
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    stream.write(json.dumps(about, allow_nan=False).encode())
    stream.flush()


def _who(folder: Path) -> str:
    try:
        about = json.loads((folder / _LOCK).read_bytes())
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
