"""Where this system's users keep caches, with our name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from delineate.common.errors import DelineateError

__all__ = ["SUBFOLDER", "user_cache_folder"]

SUBFOLDER = "delineate-cache"
"""Of the folder that the user names, or of this system's cache folder: all that we keep lies in it."""


def user_cache_folder() -> Path:
    """`XDG_CACHE_HOME` is followed where it is an absolute path, as its specification says.

    Raises `DelineateError` where the user has no home folder.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if sys.platform not in ("win32", "darwin") and Path(named).is_absolute():
        return Path(named) / "delineate"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise DelineateError(
            "no folder is known for the cache, since this user has no home folder; name one with --cache-dir"
        ) from error
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "delineate" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "delineate"
    return home / ".cache" / "delineate"
