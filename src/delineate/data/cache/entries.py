"""The folders of cache entries. Only folders that this project made are ever removed.

`--cache-dir` may be a folder that holds other things, so all entries lie in a sub-folder of ours. An entry is a folder whose
name is 32 hex digits (`….building` while it is made) with our marker in it. Removing one removes the files that we write, and
the folder when nothing else is in it; a link is never followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from delineate.common.errors import DelineateError
from delineate.common.user_folders import SUBFOLDER, user_cache_folder

__all__ = ["INDEX", "MARKER", "begin_entry", "entries", "entries_folder", "finish_entry", "remove_entry"]

INDEX = "index.json"
MARKER = "made-by-delineate"

_NAME = re.compile(r"[0-9a-f]{32}(\.building)?")
_OURS = re.compile(r"index\.json|[a-z_]+\.bin")
_TEXT = "A cache entry of Delineate. It may be deleted: it is made again when it is needed.\n"


def entries_folder(folder: Path | None) -> Path:
    """The folder of all entries, below `folder` or the user's own cache."""
    return (folder or user_cache_folder()) / SUBFOLDER


def entries(place: Path) -> Iterator[Path]:
    """The complete entries in `place`."""
    for index in place.glob(f"*/{INDEX}"):
        if _is_entry(index.parent):
            yield index.parent


def _is_entry(path: Path) -> bool:
    """Whether this project made the folder `path` as an entry."""
    if not _NAME.fullmatch(path.name) or path.parent.name != SUBFOLDER or path.is_symlink():
        return False
    try:
        return (path / MARKER).read_text(encoding="utf-8") == _TEXT
    except (OSError, ValueError):
        return False


def begin_entry(path: Path) -> None:
    """Make the empty, marked folder `path`; what an earlier, killed build left there goes.

    Raises `DelineateError` when a folder of other origin has that name, `OSError` when it cannot be written.
    """
    remove_entry(path)
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise DelineateError(
            f"{path} is in the cache's way and not of its making; move it, or choose another --cache-dir"
        )
    (path / MARKER).write_text(_TEXT, encoding="utf-8")


def finish_entry(building: Path, path: Path) -> None:
    """Give a complete entry its name. Raises as `begin_entry`."""
    remove_entry(path)
    if path.exists() or path.is_symlink():
        raise DelineateError(
            f"{path} is in the cache's way and not of its making; move it, or choose another --cache-dir"
        )
    building.rename(path)


def remove_entry(path: Path) -> None:
    """Remove an entry, its index first, so that a half-removed one is never taken for complete. Other folders stay as they are."""
    if not _is_entry(path):
        return
    with suppress(OSError):
        (path / INDEX).unlink(missing_ok=True)
        for file in list(path.iterdir()):
            if _OURS.fullmatch(file.name):
                file.unlink()
        if [file.name for file in path.iterdir()] == [MARKER]:
            (path / MARKER).unlink()
            path.rmdir()
