"""Where this system's users keep what a program is to hold for them, with our name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from delineate.common.errors import DelineateError

__all__ = ["user_data_folder"]


def user_data_folder() -> Path:
    """`XDG_DATA_HOME` is followed where it is an absolute path, as its specification says.

    Raises `DelineateError` where the user has no home folder.
    """
    named = os.environ.get("XDG_DATA_HOME", "")
    if sys.platform not in ("win32", "darwin") and Path(named).is_absolute():
        return Path(named) / "delineate"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise DelineateError(
            "no folder is known for weights, since this user has no home folder; set XDG_DATA_HOME"
        ) from error
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "delineate" / "data"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "delineate"
    return home / ".local" / "share" / "delineate"
