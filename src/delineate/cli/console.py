"""The console that tables are printed to."""

from __future__ import annotations

import sys

from rich.console import Console

from delineate.common.terminal import one_line

__all__ = ["make_console", "warn"]

_WIDTH_OF_FILES = 200


def make_console() -> Console:
    """As wide as the terminal; in a pipe or a file wide enough that no table loses figures. Names are shown as they are: square
    brackets are no markup."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_FILES
    return console


def warn(line: str) -> None:
    """Say a line that stands beside the answer, on stderr."""
    print(f"warning: {one_line(line)}", file=sys.stderr)
