"""Names of cases: the stems of their images where these differ, and with their folders where they do not."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from delineate.common.file_names import ROOM, fitting_name

__all__ = ["unique_names"]

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
