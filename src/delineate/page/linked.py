"""The page's modules → one script. A page that is opened from a file cannot load modules beside it.

There is nothing to it but their order: `import` lines go, and so does the word `export`. So names at the top of modules differ from
each other in all of `source/`, imports rename nothing, and each is a line of its own (a test holds the source to it).
"""

from __future__ import annotations

import re
from importlib.resources import files

__all__ = ["linked", "modules", "plain", "source"]

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|class|const|let)", re.MULTILINE)


_COMMENT = re.compile(r"^[ \t]*(?://.*|/\*\*.*\*/|/\*\*|\*.*)\n", re.MULTILINE)
"""A line that is a comment, or of one."""
_INDENT = re.compile(r"^\s+", re.MULTILINE)
"""Empty lines, too."""


def source(name: str) -> str:
    """A file of the page's source."""
    return files("delineate.page").joinpath("source", name).read_text(encoding="utf-8")


def plain(name: str) -> str:
    """A file of the page's source without comments, indentation and empty lines (a test holds lines to be whole)."""
    return _INDENT.sub("", _COMMENT.sub("", source(name)))


def modules(entry: str) -> list[str]:
    """The modules that `entry` needs, itself included, each after those that it imports."""
    found: list[str] = []

    def visit(name: str) -> None:
        if name not in found:
            for other in _IMPORT.findall(source(name)):
                visit(other)
            if name not in found:
                found.append(name)

    visit(entry)
    return found


def linked(entry: str) -> str:
    """The script of `entry` with all that it imports."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", plain(name))).strip() + "\n" for name in modules(entry))
