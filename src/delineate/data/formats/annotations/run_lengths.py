"""COCO's run lengths ⇄ masks: how many pixels are 0, then 1, then 0 …, column by column; as numbers, or packed into text.

In text, each number is written in groups of five bits, lowest first, as characters from '0' on; the sixth bit says that more
follow. From the fourth number on, what is written is the difference from the number before the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["checked", "decode", "drawn", "encode", "packed", "unpacked"]

_ZERO = 48
"""Code of the character that stands for 0."""
_MOST = 12
"""Characters of one number, at most: sixty bits."""


def decode(counts: Sequence[int] | str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask of that height and width. Raises `ValueError` as `checked`."""
    return drawn(checked(counts, size), size)


def checked(counts: Sequence[int] | str, size: tuple[int, int]) -> NDArray[np.int64]:
    """The run lengths as numbers. Raises `ValueError` where they are none, or do not fill the height and width."""
    runs = unpacked(counts) if isinstance(counts, str) else list(counts)
    height, width = size
    whole = all(isinstance(run, int) and not isinstance(run, bool) and run >= 0 for run in runs)
    if not whole or sum(runs) != height * width:
        raise ValueError(f"run lengths that do not fill {width}×{height} pixels")
    return np.array(runs, np.int64)


def drawn(runs: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of run lengths that fill it."""
    height, width = size
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def encode(mask: NDArray[np.bool_]) -> list[int]:
    """The run lengths of a mask."""
    flat = np.asarray(mask, np.bool_).T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def unpacked(text: str) -> list[int]:
    """Numbers from their text. Raises `ValueError` for other characters and for a number without end."""
    codes = [ord(character) - _ZERO for character in text]
    if not all(0 <= code < 64 for code in codes):
        raise ValueError("run lengths with characters that stand for no number")
    runs: list[int] = []
    at = 0
    while at < len(codes):
        end = next((end for end in range(at, min(len(codes), at + _MOST)) if not codes[end] & 0x20), None)
        if end is None:
            raise ValueError("run lengths that break off")
        number = sum((code & 0x1F) << 5 * place for place, code in enumerate(codes[at : end + 1]))
        if codes[end] & 0x10:
            number -= 1 << 5 * (end + 1 - at)
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        at = end + 1
    return runs


def packed(runs: Sequence[int]) -> str:
    """Numbers as text."""
    text = []
    for at, run in enumerate(runs):
        number = run - runs[at - 2] if at > 2 else run
        while True:
            code = number & 0x1F
            number >>= 5
            more = number != (-1 if code & 0x10 else 0)
            text.append(chr(_ZERO + code + (0x20 if more else 0)))
            if not more:
                break
    return "".join(text)
