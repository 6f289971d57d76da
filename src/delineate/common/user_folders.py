"""Where this system's users keep caches, and what a program is to hold for them, with our name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from delineate.common.errors import DelineateError

__all__ = ["SUBFOLDER", "user_cache_folder", "user_data_folder"]

SUBFOLDER = "delineate-cache"
"""Of the folder that the user names, or of this system's cache folder: all that we keep lies in it."""


def user_cache_folder() -> Path:
    """`XDG_CACHE_HOME` is followed where it is an absolute path, as its specification says.

    Raises `DelineateError` where the user has no home folder.
    """
    wanted = "for the cache, since this user has no home folder; name one with --cache-dir"
    return _folder(
        "XDG_CACHE_HOME", wanted, windows="AppData/Local/{}/cache", mac="Library/Caches/{}", other=".cache/{}"
    )


def user_data_folder() -> Path:
    """`XDG_DATA_HOME` is followed likewise.

    Raises `DelineateError` where the user has no home folder.
    """
    wanted = "for weights, since this user has no home folder; set XDG_DATA_HOME"
    return _folder(
        "XDG_DATA_HOME",
        wanted,
        windows="AppData/Local/{}/data",
        mac="Library/Application Support/{}",
        other=".local/share/{}",
    )


def _folder(variable: str, wanted: str, *, windows: str, mac: str, other: str) -> Path:
    named = os.environ.get(variable, "")
    if sys.platform not in ("win32", "darwin") and Path(named).is_absolute():
        return Path(named) / "delineate"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise DelineateError(f"no folder is known {wanted}") from error
    return home / {"win32": windows, "darwin": mac}.get(sys.platform, other).format("delineate")
