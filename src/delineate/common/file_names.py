"""Names that stand in files and become paths: a file that was made up must not lead out of the folder that it speaks of.

The rules of Windows hold everywhere, so that what is written on one system is safe on another.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence

__all__ = ["ROOM", "fitting_name", "name_fault", "path_fault", "too_long", "usable_names"]

_LONGEST = 255
"""Bytes that the usual file systems allow for one name."""
ROOM = ".png"
"""What is put behind a case's name; names are kept short enough for it."""
_SPARE = "_" * 12 + ROOM
"""Room for what makes mended names usable and different, too."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
"""What Windows takes for a device, with any ending."""


def name_fault(name: str) -> str:
    """Why a text cannot be the name of one file; '' where it can."""
    if "/" in name or "\\" in name:
        return "a name has no separators of folders"
    if name.partition(".")[0].rstrip(" ").lower() in _DEVICES:
        return "it is the name of a device on Windows"
    if too_long(name + ROOM):
        return f"it is longer than the {_LONGEST} bytes of a file's name"
    return path_fault(name)


def path_fault(path: str) -> str:
    """Why a text cannot be the path of a file within a folder; '' where it can."""
    parts = re.split(r"[/\\]", path)
    if not path or set(parts) <= {"", "."}:
        return "it names nothing"
    if ".." in parts:
        return "it leads out of the folder by '..'"
    if parts[0] == "" or _DRIVE.match(path):
        return "it is an absolute path"
    return "it has control characters" if _CONTROL.search(path) else ""


def too_long(name: str) -> bool:
    """Whether the usual file systems refuse a name for its length."""
    return len(os.fsencode(name)) > _LONGEST


def fitting_name(name: str, suffix: str = "") -> str:
    """The name with the suffix, shortened in its middle where it would be too long; equal names stay equal, others differ."""
    if not too_long(name + suffix):
        return name + suffix
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12]
    room = _LONGEST - len(suffix) - len(digest) - 1
    return f"{os.fsencode(name)[:room].decode(errors='ignore')}_{digest}{suffix}"


def usable_names(names: Sequence[str]) -> list[str]:
    """The same names, those changed that cannot be names of files: odd characters become `_`, and a number makes them differ."""
    taken = set(names)
    result = []
    for name in names:
        if name_fault(name):
            name = _free(_mended(name), taken)
            taken.add(name)
        result.append(name)
    return result


def _mended(name: str) -> str:
    name = _CONTROL.sub("_", re.sub(r"[/\\]", "_", name))
    name = fitting_name(name, _SPARE).removesuffix(_SPARE)
    head, dot, rest = name.partition(".")
    if head.rstrip(" ").lower() in _DEVICES:
        name = f"{head}_{dot}{rest}"
    return f"_{name}" if name_fault(name) else name


def _free(name: str, taken: set[str]) -> str:
    number = 1
    candidate = name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
