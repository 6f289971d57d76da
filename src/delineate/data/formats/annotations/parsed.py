"""Files of outlines are parsed once, however many masks are read from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from delineate.common.errors import DataError
from delineate.common.files import parse_json

__all__ = ["Content", "Parsed", "as_written_by", "read_json_file"]

Content = TypeVar("Content")

_HELD = 8
"""Files whose content is kept: more than a data set with a file for each split has."""


class Parsed(Generic[Content]):
    """What a function makes of files, kept until a file changes. Used by several threads, of which one parses."""

    def __init__(self, parse: Callable[[Path], Content]) -> None:
        self._parse = parse
        self._held: OrderedDict[tuple[Path, int, int], Content] = OrderedDict()
        self._lock = Lock()

    def __call__(self, path: Path) -> Content:
        """The content of a file. Raises `DataError` where it cannot be read, and what the function raises."""
        try:
            state = path.stat()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        key = (path, state.st_mtime_ns, state.st_size)
        with self._lock:
            if key not in self._held:
                self._held[key] = self._parse(path)
                while len(self._held) > _HELD:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
            return self._held[key]


@contextmanager
def as_written_by(tool: str, path: Path) -> Iterator[None]:
    """Turn what Python raises on a file of unexpected form into a `DataError` that names the file and the tool."""
    try:
        yield
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is not as {tool} writes it ({reason}); export it anew") from error


def read_json_file(path: Path) -> Any:
    """The content of a JSON file. Raises `DataError` naming it: it cannot be read, or is no JSON."""
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON that can be read: {' '.join(str(error).split())}") from error
