"""What files of outlines turned into, and what all kinds of them share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case, ClassTable
from delineate.data.core.manifest import Split as SplitName
from delineate.data.core.naming import unique_names
from delineate.data.formats.annotations.drawing import Drawing
from delineate.data.formats.annotations.outlines import Mark, Outline, Rings, Segment, encloses, hidden
from delineate.data.layouts.tree import File

__all__ = [
    "LOOKED_AT",
    "RULE",
    "AnnotatedSet",
    "Labeled",
    "Unmarked",
    "cases_of",
    "inner_parts",
    "outside",
    "overlaps",
    "unused_images",
]

Unmarked = Literal["background", "unlabeled"]
"""What an image is on which nothing is marked: all background, or not looked at yet."""
LOOKED_AT = 100
"""Images with several classes in which overlaps are looked for."""
_PIXELS = 200_000_000
"""Pixels of them, together."""
_BESIDE = 1.0
"""Pixels by which an outline may leave the picture without a word: so much is a matter of rounding."""
RULE = "a pixel belongs to an outline when its center lies inside"


@dataclass
class AnnotatedSet:
    """The cases of a data set whose masks are outlines."""

    layout: str
    cases: list[Case]
    findings: list[Finding]
    split_origin: str = ""
    classes: ClassTable = field(default_factory=ClassTable)
    """With the values that the masks have."""


@dataclass(frozen=True)
class Labeled:
    """An image of such a data set."""

    image: File
    mask: str
    """Its address, also where nothing is marked."""
    split: SplitName | None = None
    presumed: Unmarked | None = None
    """Where nothing is marked: what that means, unless the user says otherwise. None: something is."""


def cases_of(found: Sequence[Labeled], root: Path, unmarked: Unmarked | None) -> tuple[list[Case], list[Finding]]:
    """The images as cases. What those are on which nothing is marked is said, and how to have them read the other way.

    Where most of them are background only by presumption, the work may be unfinished: that is an error, which asks.
    """
    found = sorted(found, key=lambda one: (one.image.stem, one.image.parts))
    names = unique_names([(one.image.stem, one.image.parts) for one in found])
    cases: list[Case] = []
    bare: dict[Unmarked, list[str]] = {"background": [], "unlabeled": []}
    for name, one in zip(names, found, strict=True):
        meaning = one.presumed and (unmarked or one.presumed)
        if meaning is not None:
            bare[meaning].append(name)
        masks = () if meaning == "unlabeled" else (one.mask,)
        split: SplitName | None = one.split if masks or one.split is None else "train"
        cases.append(Case(id=name, images=(one.image.path.relative_to(root).as_posix(),), masks=masks, split=split))
    if unmarked is None and 2 * len(bare["background"]) > len(found):
        return cases, [_unclear(len(bare["background"]), len(found), root)]
    return cases, [_told(meaning, bare[meaning], len(found), root) for meaning in get_args(Unmarked) if bare[meaning]]


def _unclear(bare: int, number: int, root: Path) -> Finding:
    text = f"{bare} of {count(number, 'image')} in {root} have nothing marked on them: background, or not labeled yet?"
    mend = "say which: --unmarked background, or --unmarked unlabeled for methods that learn from images without masks"
    return Finding("error", text, mend)


def _told(meaning: Unmarked, bare: Sequence[str], number: int, root: Path) -> Finding:
    other, what = ("unlabeled", "all background") if meaning == "background" else ("background", "unlabeled")
    text = f"nothing is marked on {len(bare)} of {count(number, 'image')} in {root}, which are read as {what}: {some(bare, 3)}"
    return Finding("note", text, f"--unmarked {other} reads them the other way")


def overlaps(drawings: Iterable[tuple[str, Drawing]]) -> list[Finding]:
    """A note of objects of different classes that lie over each other: which is on top is a rule. `drawings`: with their names."""
    several = ((name, one) for name, one in drawings if len({mark.value for mark in one.marks}) > 1)
    hit = []
    looked, pixels, all_seen = 0, 0, True
    for name, one in several:
        pixels += one.size[0] * one.size[1]
        if looked == LOOKED_AT or pixels > _PIXELS:
            all_seen = False
            break
        looked += 1
        hit += [name] if hidden(one.marks, one.size) else []
    if not hit:
        return []
    among = "" if all_seen else f" of the {looked} looked at"
    text = f"objects of different classes overlap in {count(len(hit), 'image')}{among} ({some(hit, 3)})"
    return [Finding("note", f"{text}: the later in the file is on top")]


def outside(drawings: Iterable[tuple[str, Drawing]]) -> list[Finding]:
    """What is said of outlines that leave their picture: a note where they are cut off, a warning where nothing is left of them."""
    cut: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for name, one in drawings:
        limit = np.array(one.size[::-1])
        outlines = [outer for mark in one.marks for each in mark.segments for outer in _outer(each)]
        corners = np.concatenate(outlines) if outlines else np.zeros((0, 2))
        if not ((corners < 0) | (corners > limit)).any():
            continue  # a look at all of them at once, since most pictures have no such outline
        for points in outlines:
            low, high = points.min(axis=0), points.max(axis=0)
            gone[name] += bool((high <= 0).any() or (low >= limit).any())
            cut[name] += bool((low < -_BESIDE).any() or (high > limit + _BESIDE).any())
    findings = []
    if number := gone.total():
        names = some([name for name in gone if gone[name]], 3)
        text = f"{count(number, 'outline lies', 'outlines lie')} outside of the picture: {names}"
        findings.append(Finding("warning", text, "look whether they were drawn on pictures of another size"))
    if number := cut.total() - gone.total():
        names = some([name for name in cut if cut[name] > gone[name]], 3)
        text = f"{count(number, 'outline leaves', 'outlines leave')} the picture, cut off at its border: {names}"
        findings.append(Finding("note", text))
    return findings


def _outer(segment: Segment) -> list[NDArray[np.float64]]:
    """The outer line of a polygon; none of other shapes."""
    if isinstance(segment, Rings):
        return [segment.rings[0]]
    return [segment.points] if isinstance(segment, Outline) else []


def inner_parts(drawings: Iterable[tuple[str, Drawing]]) -> list[Finding]:
    """A note of objects with a part inside of another part, as a hole may be written: the parts of an object are united."""
    found = [name for name, one in drawings for mark in one.marks if _has_part_inside(mark)]
    if not found:
        return []
    text = f"{count(len(found), 'object has', 'objects have')} a part inside of another one, united with it: {some(found, 3)}"
    return [Finding("note", text, "where holes are meant, export run lengths (RLE) or masks")]


def _has_part_inside(mark: Mark) -> bool:
    """Whether the box of an outline lies in that of another one of the object, and its first corner inside of that."""
    outlines = [each.points for each in mark.segments if isinstance(each, Outline)]
    boxes = [(points.min(axis=0), points.max(axis=0)) for points in outlines] if len(outlines) > 1 else []
    for at, (low, high) in enumerate(boxes):
        for of, (lowest, highest) in enumerate(boxes):
            if at != of and (low > lowest).all() and (high < highest).all() and encloses(outlines[of], outlines[at][0]):
                return True
    return False


def unused_images(root: Path, images: Sequence[File], used: Iterable[Path], why: str) -> list[Finding]:
    """A note of images that no file of outlines is of."""
    known = set(used)
    rest = [file.path.relative_to(root).as_posix() for file in images if file.path not in known]
    return [Finding("note", f"{count(len(rest), 'image')} {why}, not used: {some(rest, 3)}")] if rest else []
