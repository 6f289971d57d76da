"""What several handles read from one file, kept until all of them have read it: frames of a packed file are unpacked once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["SharedContent"]


class SharedContent:
    """A file's content for a number of readers, each of which takes it once."""

    def __init__(self, load: Callable[[], Any], readers: int = 1) -> None:
        self._load, self._readers = load, readers
        self._content: Any = None
        self._taken = 0

    def take(self) -> Any:
        """The content; after the last reader nothing is kept. Raises what loading raises."""
        content = self._load() if self._content is None else self._content
        self._taken += 1
        self._content = None if self._taken % self._readers == 0 else content
        return content
