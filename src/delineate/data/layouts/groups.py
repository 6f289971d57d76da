"""Which cases belong together (a patient, a sequence), as folders and names tell.

It is decided once, from all files of a data set together: a folder or a part of a name is a group when it repeats while what
follows it counts, not when it tells of a split, a class, a data set or a center. Where names leave it open, nothing is grouped
and that is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.group_words import (
    CENTERS,
    IDENTITY,
    PICTURES,
    SEQUENCE,
    SPLITS,
    VARYING,
    is_dropped,
    names_no_patient,
    names_one,
    words_of,
)
from delineate.data.core.manifest import Case
from delineate.data.formats.archives import Address

__all__ = ["Grouping", "find_groups", "with_groups"]

_MANY = 10
"""Cases of a group on average, from which on few groups look like classes or centers."""
_FEW = 3
"""More cases of a group than this many times the number of groups: few with many."""
_SEVERAL = 6
"""So many groups that are called by numbers alone are hardly classes, however many cases they have; fewer folders that are called
by words alone may be."""
_MOST = 0.95
"""A rule on names must fit so many of them; the rest may be files of another kind."""

_SIDE = re.compile(r"(?:left|right|l|r|od|os)(?![^\W_])", re.IGNORECASE)
_SIDE_FIRST = re.compile(r"^(left|right|l|r|od|os)([-_ ])(.*\d.*)$", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[\W_]+")


@dataclass(frozen=True)
class Grouping:
    """The groups of a data set."""

    groups: dict[str, str] = field(default_factory=dict)
    """Case id → group; cases that are not here belong with no other as far as is known."""
    words: str = ""
    """How they were found: `9 patients or sequences, from the folders (P1, P2 …)`. Empty: none are known."""
    findings: tuple[Finding, ...] = ()
    """What could be groups but was not taken."""


def find_groups(paths: Mapping[str, str]) -> Grouping:
    """The groups among cases. `paths`: case id → its image's path relative to the data set, with `/` between folders.

    Equal names give equal groups, in whatever order they come.
    """
    names = {case: _plain(path) for case, path in paths.items()}
    keys: dict[str, str] = {}
    for pattern in (IDENTITY, SEQUENCE):
        found = _by_words({case: name for case, name in names.items() if case not in keys}, pattern)
        if len(names) == len(found) > 1 and len(set(found.values())) == 1:
            return Grouping(findings=(_all_of_one(found),))
        keys |= found if _repeats(found) else {}
    counted, doubt = _by_structure({case: name for case, name in names.items() if case not in keys})
    keys |= counted
    return Grouping(keys, _words(names, keys) if keys else "", () if doubt is None else (doubt,))


def with_groups(cases: Sequence[Case]) -> tuple[list[Case], str, list[Finding]]:
    """Cases with the groups that folders and names tell of, how they were found in words, and what was left open.

    A case that is in none keeps the group it has, if any: of a volume that it is a slice of.
    """
    found = find_groups({case.id: _path(case) for case in cases})
    placed = [case.model_copy(update={"group": found.groups.get(case.id, case.group)}) for case in cases]
    words = found.words
    if not words and (groups := {case.group for case in placed if case.group}):
        words = f"{count(len(groups), 'volume')}, from the files"
    return placed, words, list(found.findings)


def _path(case: Case) -> str:
    """Of the image, or the case's name where there is none; of a picture in an archive, its folder and name, or the case's name
    where it is one of many in an array."""
    file = (*case.images, case.id)[0]
    address = Address.parse(Path(file))
    if address is None:
        return file
    alone = address.slice is None or case.group is not None
    return (address.file.parent / (address.name if alone else case.id)).as_posix()


def _plain(path: str) -> str:
    """A path without its suffix, and without the folders that say nothing of a patient: splits, classes, kinds of files.

    A patient of two centers stays two patients; one in two classes or splits is one. A side of the body that stands first is
    put last: `left_12` → `12_left`.
    """
    *folders, file = path.split("/")
    stem, dot, suffix = file.rpartition(".")
    if not dot or not suffix.isalnum() or len(suffix) > 4:
        stem = file
    stem = _SIDE_FIRST.sub(r"\3\2\1", stem.removesuffix(".nii"))
    return "/".join([*(folder for folder in folders if not is_dropped(folder)), stem])


def _by_words(names: Mapping[str, str], pattern: re.Pattern[str]) -> dict[str, str]:
    """Case → group, of the names with a word for people, or for sequences, before a number."""
    found = {case: match for case, name in names.items() if (match := pattern.search(name)) and names_one(match[0])}
    return {case: _key(names[case], match) for case, match in found.items()}


def _key(name: str, match: re.Match[str]) -> str:
    """What the pattern found, after the folders and words that it is part of, but without a count: `slice3_patient1`."""
    folder, slash, start = name[: match.start()].rpartition("/")
    counts = bool(re.search(r"\d", start)) or bool(set(words_of(start)) & (VARYING | SPLITS))
    return folder + slash + ("" if counts else start) + match[0]


def _by_structure(names: Mapping[str, str]) -> tuple[dict[str, str], Finding | None]:
    """Case → group by the first part of the paths that repeats, the coarsest first: folders, then parts of the file's name.

    And what could be a group but was not taken.
    """
    doubt: Finding | None = None
    edges = {case: list(_edges(name)) for case, name in names.items()}
    for depth in range(max(map(len, edges.values()), default=0)):
        cut = {case: each[depth] for case, each in edges.items() if len(each) > depth}
        keys = {case: names[case][:at] for case, at in cut.items()}
        if 2 * len(cut) < len(names) or not _repeats(keys):
            break
        if len(set(keys.values())) == 1 or not _is_identity(names, cut, keys):
            continue
        if not _is_few(list(keys.values()), folders=_folders(names, cut)):
            return keys, doubt
        doubt = doubt or _doubt(names, keys)
    return {}, doubt


def _edges(name: str) -> Iterator[int]:
    """Where the first part of a path may end: after a folder, before a separator, before the side of a body (`01L`)."""
    at = 0
    for token in _TOKEN.findall(name):
        before = name[at - 1 : at]
        if at and (not token[0].isalnum() or (before.isdigit() and _SIDE.match(name, at))):
            yield at
        at += len(token)


def _is_identity(names: Mapping[str, str], cut: Mapping[str, int], keys: Mapping[str, str]) -> bool:
    """Whether these first parts can name a patient: the last word has a number, and what follows counts pictures."""
    ends = {key: key.rpartition("/")[2] for key in keys.values()}
    if _folders(names, cut):
        patients = [end for end in ends.values() if not names_no_patient(end)]
        return len(patients) >= _MOST * len(ends)
    numbered = [end for end in ends.values() if _last_has_digit(end)]
    counted = [case for case, at in cut.items() if _counts(names[case][at:])]
    enough = len(numbered) >= _MOST * len(ends) and len(counted) >= _MOST * len(cut)
    return enough and not _numbers_parts(numbered)


def _numbers_parts(ends: Sequence[str]) -> bool:
    """Whether few numbers follow a word that tells of parts of the set or of a patient: `fold_3`, `center2`, `slice_7`."""
    last = Counter(words[-1] for end in ends if (words := words_of(re.sub(r"[-_ .]?\d+$", "", end))))
    word, number = next(iter(last.most_common(1)), ("", 0))
    counting = word in SPLITS | CENTERS | (VARYING - PICTURES)
    return counting and number > len(ends) / 2 and len(ends) <= _MANY


def _last_has_digit(text: str) -> bool:
    last = re.search(r"[^\W_]+\W*$", text)
    return bool(last and re.search(r"\d", last[0]))


def _counts(rest: str) -> bool:
    """Whether what follows tells pictures of one patient apart: a number, or a word like slice, left, flair."""
    first = re.search(r"[^\W_]+", rest)
    if first is None:
        return False
    return bool(re.search(r"\d", first[0])) or first[0].lower() in VARYING


def _is_few(keys: Sequence[str], *, folders: bool) -> bool:
    """Few groups with many cases each: likely classes, centers or data sets. Folders named by words alone must be more."""
    number, mean = len(set(keys)), len(keys) / len(set(keys))
    ends = [key.rpartition("/")[2] for key in set(keys)]
    if folders and not all(re.search(r"\d", end) for end in ends):
        return number < _SEVERAL or (mean >= _MANY and mean > number)
    if number >= _SEVERAL and all(end.isdigit() for end in ends):
        return False
    return number < 3 or (mean >= _MANY and mean > _FEW * number)


def _folders(names: Mapping[str, str], cut: Mapping[str, int]) -> bool:
    return all(names[case][at] == "/" for case, at in cut.items())


def _repeats(keys: Mapping[str, str]) -> bool:
    return len(set(keys.values())) < len(keys)


def _words(names: Mapping[str, str], keys: Mapping[str, str]) -> str:
    """How many groups there are, and what they are called."""
    groups = sorted(set(keys.values()))
    where = "the folders" if _from_folders(names, keys) else "the names"
    number = count(len(groups), "patient or sequence", "patients or sequences")
    bare = len(names) - len(keys)
    rest = f"; {count(bare, 'case')} without" if bare else ""
    return f"{number}, from {where} ({some(groups, 3)}){rest}"


def _doubt(names: Mapping[str, str], keys: Mapping[str, str]) -> Finding:
    groups = sorted(set(keys.values()))
    what = ("folder", "folders") if _from_folders(names, keys) else ("beginning of names", "beginnings of names")
    number, each = count(len(groups), *what), len(keys) // len(groups)
    text = f"{number} with about {each} cases each, taken as classes or centers, not as patients: {some(groups, 3)}"
    cure = "if each is a patient or sequence, say so with --group-by: a pattern that finds it in the names"
    return Finding("note", text, cure)


def _all_of_one(keys: Mapping[str, str]) -> Finding:
    """What all cases share tells none of them from another: no split could be drawn by it."""
    (group,) = set(keys.values())
    text = f"all {len(keys)} cases are called {group}, as one patient or sequence would be; each counts by itself"
    return Finding(
        "warning", text, "if it is one, scores on its own pictures say nothing of others; bring a second one to test on"
    )


def _from_folders(names: Mapping[str, str], keys: Mapping[str, str]) -> bool:
    return all(names[case].startswith(f"{key}/") for case, key in keys.items())
