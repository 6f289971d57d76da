"""Data sets that are given as one zip or tar file: unpacked once into the user's cache, and found there by the archive's content.

delineate-cache/unpacked/DIGEST/NAME/…     the files; DIGEST is of the archive, NAME its name
delineate-cache/unpacked/DIGEST/from.json  how many files and bytes these are: what lacks some is unpacked anew
delineate-cache/unpacked/known/….json      the digest of an archive of this path, size and date
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.common.file_lock import locked
from delineate.common.file_names import fitting_name
from delineate.common.files import read_json, sha256, write_json
from delineate.common.user_folders import SUBFOLDER, user_cache_folder
from delineate.data.core.words import folder_word
from delineate.data.formats.containers import Unpacked, archive_stem, unpack

__all__ = ["Announce", "unpacked"]

Announce = Callable[[str], None]
_FROM = "from.json"


def unpacked(archive: Path, announce: Announce = lambda _: None) -> Path:
    """The folder with an archive's files: the only folder in it where there is but one. Unpacks it where that was not done before.

    `announce`: told the place before anything is written. Raises `DataError` as `formats.containers.unpack`, and where the
    cache cannot be written.
    """
    try:
        place = user_cache_folder() / SUBFOLDER / "unpacked"
        entry = place / _digest(archive, place)[:32]
        with locked(place / "locks" / f"{entry.name}.lock"):
            if not _whole(entry):
                announce(f"unpacking {archive.name} into {entry}")
                _make(entry, archive)
            return _inner(entry / _name(entry))
    except OSError as error:
        where = error.filename or archive
        raise DataError(
            f"cannot unpack {archive}: {where}: {error.strerror or error}; unpack it yourself and give the folder"
        ) from error


def _digest(archive: Path, place: Path) -> str:
    """SHA-256 of the archive, remembered for its path, size and date: to read many gigabytes takes long."""
    state = archive.stat()
    told = {"bytes": state.st_size, "changed": state.st_mtime_ns}
    known = place / "known" / f"{hashlib.sha256(os.fsencode(archive.resolve())).hexdigest()[:32]}.json"
    try:
        found: Any = read_json(known)
        if isinstance(found, dict) and {key: found.get(key) for key in told} == told:
            return str(found["sha256"])
    except (OSError, ValueError, KeyError):
        pass
    digest = sha256(archive)
    write_json(known, {**told, "sha256": digest})
    return digest


def _name(entry: Path) -> str:
    """What the archive was called that was unpacked here; another of the same content may be called otherwise."""
    return str(read_json(entry / _FROM)["name"])


def _whole(entry: Path) -> bool:
    """Whether all files are there."""
    try:
        said: Any = read_json(entry / _FROM)
        return [said["files"], said["bytes"]] == _counted(entry / said["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _counted(folder: Path) -> list[int]:
    """Files and bytes in a folder."""
    sizes = [os.lstat(Path(parent) / name).st_size for parent, _, names in os.walk(folder) for name in names]
    return [len(sizes), sum(sizes)]


def _make(entry: Path, archive: Path) -> None:
    """Unpack beside the place, and rename."""
    building = entry.with_name(f"{entry.name}.building")
    for old in (building, entry):
        if old.exists():
            shutil.rmtree(old)
    target = building / fitting_name(archive_stem(archive))
    target.mkdir(parents=True)
    try:
        found: Unpacked = unpack(archive, target)
        write_json(building / _FROM, {"name": target.name, "files": found.files, "bytes": found.bytes})
        building.rename(entry)
    finally:
        if building.exists():
            shutil.rmtree(building)


def _inner(folder: Path) -> Path:
    """The only folder in a folder, and so on, up to one that says what its files are."""
    while True:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        word = folder_word(entries[0].name)
        if (word.role.value != "none" and word.plain) or (word.split and word.plain_split):
            return folder
        folder = entries[0]
