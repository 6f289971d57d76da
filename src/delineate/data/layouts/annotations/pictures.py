"""The image that a file of outlines means by a name, which mostly is a path on another machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from delineate.data.core.manifest import Split as SplitName
from delineate.data.core.words import folder_word, normal
from delineate.data.layouts.tree import File

__all__ = ["Pictures", "split_in"]


class Pictures:
    """The images of a folder, found by the ends of their paths."""

    def __init__(self, files: Sequence[File]) -> None:
        self._by_name: dict[str, list[File]] = defaultdict(list)
        self._by_folded: dict[str, list[File]] = defaultdict(list)
        self._by_stem: dict[str, list[File]] = defaultdict(list)
        for file in files:
            self._by_stem[file.stem].append(file)
            self._by_name[normal(file.path.name)].append(file)
            self._by_folded[normal(file.path.name).casefold()].append(file)

    def called(self, written: str, near: Path, split: SplitName | None = None) -> list[File]:
        """The images that a written path can mean: none, one, or several that cannot be told apart.

        Of images with that name, those whose folders agree best with the path; then those below the folder `near`; then those in a
        folder of the same split.
        """
        parts = tuple(part for part in normal(written).replace("\\", "/").split("/") if part not in ("", ".", ".."))
        files = self._by_name.get(parts[-1]) or self._by_folded.get(parts[-1].casefold(), []) if parts else []
        if not files:
            return self.called(unquote(written), near, split) if unquote(written) != written else []
        files = _best(files, [_agreeing(file.parts, parts[:-1]) for file in files])
        files = _best(files, [int(file.path.is_relative_to(near)) for file in files])
        return _best(files, [int(split is not None and split_in(file.parts) == split) for file in files])

    def alike(self, path: Path) -> list[File]:
        """The images that are called as a file is: `a.png` for a.json and for a.png.json.

        Of several those that share most folders with it, from the root on.
        """
        stem = normal(path.stem)
        files = self._by_stem.get(stem) or self._by_name.get(stem, [])
        return _best(files, [_shared(file.path.parent.parts, path.parent.parts) for file in files])


def split_in(folders: Sequence[str]) -> SplitName | None:
    """The split that the innermost telling folder names."""
    return next((word.split for name in reversed(folders) if (word := folder_word(name)).split), None)


def _agreeing(folders: Sequence[str], wanted: Sequence[str]) -> int:
    """How many folders agree, from the innermost on."""
    number = 0
    for one, other in zip(reversed(folders), reversed(wanted), strict=False):
        if one != other:
            break
        number += 1
    return number


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders are the same, from the outermost on."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _best(files: list[File], scores: Sequence[int]) -> list[File]:
    return [file for file, score in zip(files, scores, strict=True) if score == max(scores)]
