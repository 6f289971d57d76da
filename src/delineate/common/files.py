"""Files that are either whole or absent: write beside the target, flush to disk, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from delineate.common.errors import DelineateError
from delineate.common.not_finite import first_not_finite

__all__ = [
    "append_line",
    "atomic_path",
    "checksum",
    "new_folder",
    "output_folder",
    "parse_json",
    "read_json",
    "remove",
    "sha256",
    "write_bytes",
    "write_json",
    "write_text",
]

_LONGEST_SUFFIX = 16
"""Of a name that is kept: writers choose a format by it."""


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; it replaces `target` if the block succeeds, else it is removed.

    The temporary name keeps the target's suffix, so that writers which choose a format by suffix work.
    Raises `DelineateError` when the folder cannot be written or the disk is full.
    """
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_file_beside(target)
        yield temporary
        _flush(temporary)
        temporary.replace(target)
    except OSError as error:
        raise _explain(error, target) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write UTF-8 text to `target` atomically; what cannot be written of a name that is not UTF-8 becomes an escape."""
    write_bytes(target, content.encode(errors="backslashreplace"))


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON to `target` atomically; NaN and infinity are refused (they are not JSON)."""
    if (key := first_not_finite(content)) is not None:
        raise ValueError(f"{target}: {key} is not finite, which JSON has no number for")
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises `OSError` when it cannot be read, `ValueError` when it is not JSON, whatever is in it."""
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_json(text: str) -> Any:
    """The same for a text, such as a line of a file. Raises `ValueError`."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def append_line(target: Path, line: str) -> None:
    """Add one line to a UTF-8 text file. Raises `DelineateError` when it cannot be written."""
    try:
        with target.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    except OSError as error:
        raise _explain(error, target) from error


def sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksum(path: Path) -> int:
    """CRC-32 of a file: against damage, not against forgery."""
    found = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            found = zlib.crc32(block, found)
    return found


def output_folder(path: Path) -> Path:
    """Create `path` as a folder that can be written, or raise `DelineateError` saying why it cannot."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise _explain(error, path) from error
    return path


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a new, hidden folder beside `target`; it becomes `target` if the block succeeds, else it is removed with all that
    is in it. `target` must be absent or an empty folder. Raises `DelineateError` when it cannot be written."""
    building: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = target.with_name(f".{secrets.token_hex(6)}")
        building.mkdir()
        yield building
        if target.is_dir():
            target.rmdir()
        building.rename(target)
    except OSError as error:
        raise _explain(error, target) from error
    finally:
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _new_file_beside(target: Path) -> Path:
    """An empty file of its own. The system itself applies the umask to its mode: to read it, one would have to set it, for all
    threads at once. The name is short, since that of the target may be as long as the system allows."""
    suffix = target.suffix if len(target.suffix) <= _LONGEST_SUFFIX else ""
    while True:
        path = target.with_name(f".{secrets.token_hex(6)}{suffix}")
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return path


def _explain(error: OSError, target: Path) -> DelineateError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DelineateError(f"cannot write {target}: the disk is full; free some space or choose another folder")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DelineateError(f"cannot write {target}: permission denied; choose a folder that you may write to")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return DelineateError(f"cannot write {target}: part of that path is a file, not a folder; choose another one")
    if error.errno == errno.EFBIG:
        return DelineateError(
            f"cannot write {target}: a limit on the size of files is reached; raise it, or choose another folder"
        )
    return DelineateError(f"cannot write {target}: {error.strerror or error}")
