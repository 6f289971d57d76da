"""Tables that never cut a number: what does not fit beside each other comes below, with the names again."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

__all__ = ["print_table"]

_NARROW = 12
"""Columns of words are folded down to so many characters before numbers move below."""


def print_table(
    console: Console,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    caption: str = "",
    words: int = 1,
    bold: Collection[int] = (),
) -> None:
    """Print rows under a head. The first `words` columns are words, which may be folded; the others are numbers, which are not.

    Where the numbers are wider than the console, several tables come one below the other, each with all columns of words.
    `bold`: numbers of rows.
    """
    widths = _widths(head, rows, words, console.width)
    for at, columns in enumerate(_parts(widths, words, console.width)):
        table = Table(title=title if at == 0 else "", caption=caption if at == 0 else "")
        for column in columns:
            width = widths[column]
            if column < words:
                table.add_column(head[column], overflow="fold", min_width=min(width, _NARROW))
            else:
                heading = "\n".join(textwrap.wrap(head[column], width))
                table.add_column(heading, justify="right", no_wrap=True, min_width=width)
        for number, row in enumerate(rows):
            table.add_row(*(row[column] for column in columns), style="bold" if number in bold else None)
        console.print(table)


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]], words: int, width: int) -> list[int]:
    """Of each column. Headings of numbers are broken between their words only where they would not fit in one line."""
    cells = [max([0, *(cell_len(row[column]) for row in rows)]) for column in range(len(head))]
    whole = [max(cell, cell_len(text)) for cell, text in zip(cells, head, strict=True)]
    if 1 + sum(3 + each for each in whole) <= width:
        return whole
    broken = [max([cell, *map(cell_len, text.split())]) for cell, text in zip(cells, head, strict=True)]
    return [*whole[:words], *broken[words:]]


def _parts(widths: Sequence[int], words: int, width: int) -> list[list[int]]:
    """The columns of each table."""
    named = list(range(words))
    least = 1 + sum(3 + min(widths[column], _NARROW) for column in named)
    parts: list[list[int]] = []
    taken = width
    for column in range(words, len(widths)):
        needed = 3 + widths[column]
        if not parts or taken + needed > width:
            parts.append([*named])
            taken = least
        parts[-1].append(column)
        taken += needed
    return parts or [named]
