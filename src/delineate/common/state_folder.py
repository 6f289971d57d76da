"""Where this system's users keep what a program must remember from one call to the next, with our name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["user_state_folder"]


def user_state_folder() -> Path | None:
    """`XDG_STATE_HOME` is followed where it is an absolute path, as its specification says; None for a user without a home."""
    named = os.environ.get("XDG_STATE_HOME", "")
    if sys.platform not in ("win32", "darwin") and Path(named).is_absolute():
        return Path(named) / "delineate"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "delineate" / "state"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "delineate"
    return home / ".local" / "state" / "delineate"
