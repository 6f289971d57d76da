"""Zip and tar files → a folder, and nothing outside of it: no absolute names, no `..`, no links, no more than they promise.

A data set that was packed is a folder of files, so it is unpacked whole, and read as any other.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from delineate.common.errors import DataError
from delineate.common.file_names import path_fault

__all__ = ["Read", "Unpacked", "archive_stem", "is_archive", "is_unread_archive", "unpack"]

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_UNREAD_SUFFIXES = (".7z", ".rar", ".tar.zst")
"""Of archives that Python cannot unpack."""
_MOST_FILES = 2_000_000
_SPARE_BYTES, _MOST_RATIO = 1 << 30, 200
"""An archive may unpack to this many bytes, and to so many times its own size more. Pictures are packed already: 1 is usual."""
_FREE_BYTES = 1 << 26
"""Room on the disk that is left."""
_ENCRYPTED = 1
"""Bit of a zip member's flags."""
_CLUTTER = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})

Read = Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Unpacked:
    """What was unpacked."""

    files: int
    bytes: int


@dataclass(frozen=True)
class _Member:
    """A file in an archive."""

    name: str
    bytes: int
    read: Read


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that can be unpacked."""
    return path.name.lower().endswith(_SUFFIXES)


def is_unread_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that cannot be unpacked here."""
    return path.name.lower().endswith(_UNREAD_SUFFIXES)


def archive_stem(path: Path) -> str:
    """The name of an archive without its suffix."""
    suffix = max((one for one in _SUFFIXES if path.name.lower().endswith(one)), key=len)
    return path.name[: -len(suffix)] or "data"


def unpack(archive: Path, folder: Path, *, most_files: int = _MOST_FILES, most_bytes: int | None = None) -> Unpacked:
    """Unpack all files into an empty folder, but for what systems leave behind (`__MACOSX`, `.DS_Store`).

    `most_bytes`: of all files; None: as the archive's own size lets expect.

    Raises `DataError` naming the archive: it cannot be read or is damaged; a name that leads out of the folder, a link, a device, a
    member with a password, an archive inside; more than its size lets expect, or than the disk has room for. What was
    unpacked until then stays in the folder.
    """
    with _named(archive):
        usual = _SPARE_BYTES + _MOST_RATIO * archive.stat().st_size
        most = most_files, usual if most_bytes is None else most_bytes
        seen: dict[str, str] = {}
        total = 0
        for member in _members(archive, most):
            parts = _parts(archive, member.name)
            if not parts:
                continue
            _check_name(archive, "/".join(parts), seen)
            total += member.bytes
            _check_amount(archive, len(seen), total, most)
            _check_room(archive, folder, member.bytes)
            _write(folder.joinpath(*parts), member)
        if not seen:
            raise DataError(f"{archive} has no files in it")
        return Unpacked(len(seen), total)


def _members(archive: Path, most: tuple[int, int]) -> Iterator[_Member]:
    if archive.name.lower().endswith(".zip"):
        yield from _zip_members(archive, most)
    else:
        yield from _tar_members(archive)


def _zip_members(archive: Path, most: tuple[int, int]) -> Iterator[_Member]:
    with ZipFile(archive) as packed:
        infos = [info for info in packed.infolist() if not info.is_dir()]
        for info in infos:
            if info.flag_bits & _ENCRYPTED:
                raise DataError(f"{archive} is locked with a password; unpack it yourself and give the folder")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _link(archive, info.filename)
        _check_amount(archive, len(infos), sum(info.file_size for info in infos), most)
        for info in infos:
            yield _Member(info.filename, info.file_size, _reader(packed, info))


def _reader(packed: ZipFile, info: ZipInfo) -> Read:
    return lambda: packed.open(info)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:*") as packed:
        for info in packed:
            if info.isdir():
                continue
            if info.issym() or info.islnk():
                raise _link(archive, info.name)
            if not info.isreg():
                raise DataError(f"{archive} has {info.name} in it, which is no file; pack the files alone")
            yield _Member(info.name, info.size, _tar_reader(packed, info))


def _tar_reader(packed: tarfile.TarFile, info: tarfile.TarInfo) -> Read:
    def read() -> IO[bytes]:
        stream = packed.extractfile(info)
        assert stream is not None, "it is a file"
        return stream

    return read


def _parts(archive: Path, name: str) -> tuple[str, ...]:
    """Folders and name; none of what systems leave behind. Raises `DataError` for a name that leads out of the folder."""
    name = name.replace("\\", "/")
    if fault := path_fault(name.removeprefix("./")):
        raise DataError(f"{archive} has the name {name!r} in it: {fault}; it is not unpacked")
    parts = tuple(part for part in PurePosixPath(name).parts if part != ".")
    return () if any(part in _CLUTTER or part.startswith("._") for part in parts) else parts


def _check_name(archive: Path, name: str, seen: dict[str, str]) -> None:
    other = seen.setdefault(name.casefold(), name)
    if other is not name:
        words = (
            f"{name} twice in it" if other == name else f"{other} and {name} in it, which are one file on some systems"
        )
        raise DataError(f"{archive} has {words}; pack it anew")
    if is_archive(Path(name)) or is_unread_archive(Path(name)):
        raise DataError(f"{archive} has another archive in it ({name}); unpack both yourself and give the folder")


def _check_amount(archive: Path, files: int, total: int, most: tuple[int, int]) -> None:
    """`most`: files and bytes."""
    if files > most[0] or total > most[1]:
        raise DataError(
            f"{archive} unpacks to far more than its size lets expect; unpack it yourself and give the folder"
        )


def _check_room(archive: Path, folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed + _FREE_BYTES:
        raise DataError(f"there is no room to unpack {archive} into {folder}; free some, or unpack it elsewhere")


def _write(path: Path, member: _Member) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.read() as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    if path.stat().st_size != member.bytes:
        raise BadZipFile(f"{member.name} is cut off")


def _link(archive: Path, name: str) -> DataError:
    return DataError(f"{archive} has a link in it ({name}), which may lead anywhere; pack the files themselves")


@contextmanager
def _named(archive: Path) -> Iterator[None]:
    """Faults of unpacking become a `DataError` that names the archive."""
    try:
        yield
    except DataError:
        raise
    except NotImplementedError as error:
        raise DataError(f"{archive} is packed in a way that is not readable here ({error}); pack it anew") from error
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"cannot unpack {archive}: {error.strerror}") from error
        reason: Any = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{archive} is damaged or no archive ({reason}); restore it") from error
