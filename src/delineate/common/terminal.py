"""Text for consoles that do not know all characters: nothing that is printed may end a program."""

from __future__ import annotations

import codecs
import sys
from typing import TextIO

__all__ = ["make_printable", "one_line"]

_PLAIN = {
    **dict.fromkeys("×✕", "x"),
    **dict.fromkeys("–—−‑", "-"),
    **dict.fromkeys("•★·∙", "*"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("‘’", "'"),
    "…": "...",
    "→": "->",
    "←": "<-",
    "≥": ">=",
    "≤": "<=",
    "≈": "~",
    "±": "+-",
    "²": "2",
    "³": "3",
    "µ": "u",
    "ä": "ae",
    "ö": "oe",
    "ü": "ue",
    "ß": "ss",
    "\u00a0": " ",
    "\u202f": " ",
}
"""What stands for a character that a console cannot show; others are written as their number, as `\\u03bc`."""
_HANDLER = "delineate"


def make_printable() -> None:
    """Let what is printed from now on use plain characters where the console's encoding (cp1252, ASCII) lacks others."""
    codecs.register_error(_HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        _set_handler(stream)


def one_line(text: str) -> str:
    """A message as one line; characters that steer a terminal are written as their number."""
    joined = " ".join(text.split())
    return "".join(letter if letter.isprintable() else _number(letter) for letter in joined)


def _set_handler(stream: TextIO) -> None:
    # Streams that a test or an embedding program put in place may not know how.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=_HANDLER)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or _number(letter) for letter in text), error.end


def _number(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode() if ord(letter) > 127 else f"\\x{ord(letter):02x}"
