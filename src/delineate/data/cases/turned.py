"""Images and masks of which EXIF turns one and not the other: do they still fit?

Where height and width differ, sizes tell, and a mask that does not fit is refused. A half turn, a mirrored picture and a square
one tell nothing: then it depends on whether the mask was drawn on the picture as it is shown, or as it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case
from delineate.data.formats.registry import open_image

__all__ = ["Shown", "stated", "turned_apart"]

_TURNS_BY_90 = (5, 6, 7, 8)


class Shown(Protocol):
    """What `data.cases.census` knows of a case, as far as turning is concerned."""

    @property
    def height(self) -> int:
        """Of the image, as are the width and all that follows."""

    @property
    def width(self) -> int: ...

    @property
    def turns(self) -> tuple[int, ...]:
        """The orientations that the image's file and those of its masks state."""


@dataclass(frozen=True)
class _Stated:
    height: int
    width: int
    turns: tuple[int, ...]


def stated(images: Sequence[Path], masks: Sequence[Path]) -> Shown:
    """What the headers of an image's files and its masks state: the files are read, but not decoded.

    Raises `DataError` as `open_image`.
    """
    handles = [open_image(path) for path in (*images, *masks)]
    height, width = handles[0].shape
    return _Stated(height, width, tuple(handle.orientation for handle in handles))


def turned_apart(cases: Sequence[Case], facts: Mapping[str, Shown]) -> list[Finding]:
    """A warning that names the cases whose image and mask state different orientations while their sizes agree either way.

    A note in its place, where other cases of the set show that masks fit the turned pictures. `facts`: by the case's id.
    """
    apart = [case for case in cases if _apart(case, facts)]
    fitting = [case for case in apart if _told_by_size(facts[case.id])]
    unsure = [case for case in apart if case not in fitting]
    if not unsure:
        return []
    text = (
        f"{count(len(unsure), 'case')} whose image and mask have different EXIF orientations, and sizes that do not tell whether "
        f"the mask was drawn on the turned picture: {some([case.images[0] for case in unsure], 3)}"
    )
    if fitting:
        fit = count(len(fitting), "other case", "other cases")
        return [Finding("note", f"{text}; of {fit} the masks fit the pictures as turned", "all are read as turned")]
    mend = "they are read as EXIF turns them: look whether the masks fit; if not, save the images without orientation"
    return [Finding("warning", text, mend)]


def _apart(case: Case, facts: Mapping[str, Shown]) -> bool:
    turns = facts[case.id].turns if case.id in facts else ()
    return any(turn != turns[0] for turn in turns[1:])


def _told_by_size(fact: Shown) -> bool:
    """Whether the mask would not have fitted if it had been drawn on the picture as stored."""
    sideways = {turn in _TURNS_BY_90 for turn in fact.turns}
    return len(sideways) == 2 and fact.height != fact.width
