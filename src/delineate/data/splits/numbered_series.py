"""Pictures that are numbered consecutively and look like their neighbors: frames of a video, slices of a volume.

Their names do not say which belong together, so a split cannot keep them together. The user is warned.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.findings import Finding, some
from delineate.data.core.joins import is_known
from delineate.data.core.manifest import Case, Manifest
from delineate.data.splits.near_duplicates import PictureHash

__all__ = ["neighbors"]

_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$")
_FRAMES = re.compile(r"(?:^|[\W_])(?:frames?|frm|slices?|slc|sl|z)[-_ ]?$", re.IGNORECASE)
"""What stands before the number of a frame or slice."""
_LEAST = 12
"""Fewer neighbors than this tell nothing."""
_RARE = 0.05
"""Pictures that are far apart in the row are as alike as the threshold in this share of the cases …"""
_OFTEN = 0.3
"""… and neighbors of one video or volume in more than this."""

_Pair = tuple[Case, Case]


def neighbors(manifest: Manifest, hashes: Mapping[str, PictureHash]) -> list[Finding]:
    """A warning where cases without a known group are numbered in a row, look or are called like neighbors, and lie in different
    splits. `hashes`: of the pictures; none where nobody looked, and then the names alone decide."""
    series = _series([case for case in manifest.cases if not is_known(case.group)])
    pairs = [pair for members in series for pair in _in_a_row(members)]
    torn = [pair for pair in pairs if _apart(*pair)]
    named = [pair for pair in torn if _FRAMES.search(_split(pair[0])[0])]
    share = _alike(series, pairs, hashes)
    if len(pairs) < _LEAST or not torn:
        return []
    if share is not None and share >= _OFTEN:
        seen = f"{share:.0%} of the pictures look like the one numbered before them"
    elif named and (share is None or share >= 2 * _RARE):
        torn, seen = named, "as their names say"
    else:
        return []
    examples = some([f"{one.id} ({one.split}), {other.id} ({other.split})" for one, other in torn], 2)
    text = f"likely neighbors, frames of a video or slices of a volume ({seen}), lie in different splits: {examples}"
    mend = "say what belongs together with --group-by: a pattern on the names, or a CSV file with the columns case and group"
    return [Finding("warning", text, mend)]


def _series(cases: Sequence[Case]) -> list[list[Case]]:
    """Cases whose names differ in their last number alone, by that number."""
    found: dict[tuple[str, str, str], dict[int, Case]] = defaultdict(dict)
    for case in cases:
        before, number, after = _split(case)
        if number >= 0:
            found[_place(case), before, after].setdefault(number, case)
    return [[members[number] for number in sorted(members)] for members in found.values()]


def _split(case: Case) -> tuple[str, int, str]:
    match = _NUMBER.match(case.id)
    return (match[1], int(match[2][-15:]), match[3]) if match else (case.id, -1, "")


def _place(case: Case) -> str:
    return str(PurePosixPath(case.images[0]).parent) if case.images else ""


def _in_a_row(members: Sequence[Case]) -> list[_Pair]:
    numbers = [_split(case)[1] for case in members]
    return [(members[at], members[at + 1]) for at in range(len(members) - 1) if numbers[at + 1] == numbers[at] + 1]


def _apart(first: Case, second: Case) -> bool:
    return None not in (first.split, second.split) and first.split != second.split


def _alike(series: Sequence[Sequence[Case]], pairs: Sequence[_Pair], hashes: Mapping[str, PictureHash]) -> float | None:
    """The share of neighbors that are more alike than pictures far apart in the row are; None where nobody looked."""
    near = _likeness(pairs, hashes)
    far = _likeness([pair for members in series for pair in _far_apart(members)], hashes)
    if len(near) < _LEAST or len(far) < _LEAST:
        return None
    return float(np.mean(near > np.quantile(far, 1 - _RARE)))


def _far_apart(members: Sequence[Case]) -> list[_Pair]:
    half = len(members) // 2
    return [(members[at], members[at + half]) for at in range(len(members) - half)] if half > 1 else []


def _likeness(pairs: Sequence[_Pair], hashes: Mapping[str, PictureHash]) -> NDArray[np.float64]:
    known = [(hashes[one.id], hashes[other.id]) for one, other in pairs if one.id in hashes and other.id in hashes]
    return np.array([float((one.hash * other.hash).sum()) for one, other in known])
