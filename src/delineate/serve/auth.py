"""Keys: who may use a server that others can reach.

A key is 256 random bits, so its SHA-256 in the file tells nothing of it: no one can try so many. Slow hashes (scrypt) protect what
people choose, which is guessable; here they would only cost time with each request. Keys are compared in constant time, with all
there are, so that the time of an answer tells neither a part of a key nor whose it is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from delineate.common.errors import DelineateError
from delineate.common.files import write_bytes

__all__ = ["Key", "Keys", "add_key", "list_keys", "remove_key"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEAD = "# Keys of `delineate serve`: name, SHA-256 of the key, day. Made by `delineate serve-keys`.\n"
_PREFIX = "dlk_"
"""By which keys are found where they should not be."""


@dataclass(frozen=True)
class Key:
    """A line of the file."""

    name: str
    """Whose it is, in the log."""
    sha256: str
    added: str


class Keys:
    """The keys of a file, which can be read again while the server runs."""

    def __init__(self, path: Path) -> None:
        """Raises `DelineateError` for a file that cannot be used, or has no key."""
        self.path = path
        self._keys: tuple[Key, ...] = ()
        self.reload()

    def reload(self) -> int:
        """Read the file again; what was known stays where it cannot be used. Returns the number of keys; raises as the class."""
        found = list_keys(self.path)
        if not found:
            raise DelineateError(
                f"{self.path} has no keys; add one with `delineate serve-keys add NAME --keys {self.path}`"
            )
        self._keys = tuple(found)
        return len(found)

    def owner(self, header: str) -> str | None:
        """The name of the key in an `Authorization` header; None: it is none of these."""
        scheme, _, given = header.partition(" ")
        digest = _digest(given.strip())
        owner = None
        for key in self._keys:  # all of them
            if hmac.compare_digest(key.sha256, digest):
                owner = key.name
        return owner if scheme.lower() == "bearer" else None


def add_key(path: Path, name: str) -> str:
    """Make a key and add it to a file, which only its owner may read. Returns the key: it is not kept anywhere.

    Raises `DelineateError` for a name that is taken or of other characters than letters, digits, '.', '_', '-'.
    """
    if not _NAME.fullmatch(name):
        raise DelineateError(f"'{name}' cannot name a key: use letters, digits, '.', '_' and '-', 64 at most")
    known = list_keys(path) if path.exists() else []
    if any(key.name == name for key in known):
        raise DelineateError(f"{path} has a key '{name}' already; remove it first, or give another name")
    key = _PREFIX + secrets.token_urlsafe(32)
    _write(path, [*known, Key(name, _digest(key), date.today().isoformat())])
    return key


def remove_key(path: Path, name: str) -> None:
    """Raises `DelineateError` where there is no such key."""
    known = list_keys(path)
    if all(key.name != name for key in known):
        names = ", ".join(key.name for key in known) or "none"
        raise DelineateError(f"{path} has no key '{name}'; there are: {names}")
    _write(path, [key for key in known if key.name != name])


def list_keys(path: Path) -> list[Key]:
    """The keys of a file. Raises `DelineateError` naming the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise DelineateError(
            f"cannot read the keys in {path}: {reason}; make one with `delineate serve-keys add`"
        ) from error
    found: list[Key] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        if len(words) != 3 or not re.fullmatch(r"[0-9a-f]{64}", words[1]):
            raise DelineateError(
                f"{path}, line {number}: not a name, a SHA-256 and a day; remove the line, or make the key anew"
            )
        found.append(Key(*words))
    return found


def _write(path: Path, keys: Sequence[Key]) -> None:
    lines = "".join(f"{key.name} {key.sha256} {key.added}\n" for key in keys)
    if not path.exists():
        try:
            path.touch(mode=0o600)
        except OSError as error:
            raise DelineateError(f"cannot write {path}: {error.strerror or error}") from error
    mode = path.stat().st_mode
    write_bytes(path, (_HEAD + lines).encode())
    path.chmod(mode & 0o777)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
