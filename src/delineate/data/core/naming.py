"""Names of cases: the stems of their images where these differ, and with their folders where they do not."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from delineate.common.file_names import ROOM, fitting_name

__all__ = ["SEPARATORS", "common_start", "unique_names"]

SEPARATORS = "-_. "
"""Between a case's name and what is added to it for each of its files."""
_JOINERS = ("_", "__", "-", "--")


def unique_names(names: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    """(stem, folders) of each case → its id, no two alike.

    A stem that occurs once is the id. The others get their folders in front (`P1_0`); where that makes a name that another case
    has (`train/1` beside `train_1`), they are joined in another way. An empty stem (`image.png`) is named by its folders alone.
    """
    counts = Counter(stem for stem, _ in names)
    single = {stem for stem, number in counts.items() if number == 1 and stem}
    for joiner in _JOINERS:
        found = [
            stem if stem in single else joiner.join((*folders, stem) if stem else folders) for stem, folders in names
        ]
        found = [name if name in single else fitting_name(name, ROOM).removesuffix(ROOM) for name in found]
        if len(set(found)) == len(found) and all(found):
            return found
    return [
        stem
        if stem in single
        else fitting_name(f"{'_'.join(folders) or 'case'}_{_digest(stem, folders)}", ROOM).removesuffix(ROOM)
        for stem, folders in names
    ]


def _digest(stem: str, folders: tuple[str, ...]) -> str:
    return hashlib.sha256("/".join((*folders, stem)).encode()).hexdigest()[:8]


def common_start(stems: Sequence[str]) -> str:
    """What the names of a case's files begin with, up to a separator: p1_t1, p1_t1ce → p1. Of one name all of it."""
    if len(set(stems)) == 1:
        return stems[0]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*stems, strict=False))
    shared = "".join(letters[0] for letters in alike)
    if not all(stem[len(shared) : len(shared) + 1] in ("", *SEPARATORS) for stem in stems):
        shared = shared[: max(map(shared.rfind, SEPARATORS)) + 1]
    return shared.rstrip(SEPARATORS)
