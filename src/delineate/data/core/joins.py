"""What a division of cases must keep together beside groups: cases that hold the same picture."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from delineate.data.core.manifest import Case

__all__ = [
    "Pairs",
    "described",
    "equal_pictures",
    "is_known",
    "join",
    "joins_in_words",
    "members_of",
    "pairs_of",
    "sharing",
    "ways_apart",
]

Pairs = Iterable[tuple[str, str]]
"""Ids of two cases each that belong together."""
_COPIES = " and copies"
"""How the group of a case ends that belongs with its copies alone."""


def sharing(cases: Iterable[Case], key: Callable[[Case], str | None]) -> list[list[Case]]:
    """The cases that share a key with another one; no key is shared by nobody."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if (name := key(case)) is not None:
            found[name].append(case)
    return [members for members in found.values() if len(members) > 1]


def equal_pictures(cases: Iterable[Case]) -> list[tuple[str, str]]:
    """Pairs of the cases whose images are equal, pixel for pixel: each with the first of its like."""
    return pairs_of(sharing(cases, lambda case: case.pixels))


def pairs_of(sets: Iterable[Sequence[Case]]) -> list[tuple[str, str]]:
    """The members of each set as pairs with its first."""
    return [(members[0].id, other.id) for members in sets for other in members[1:]]


def join(cases: Sequence[Case], pairs: Pairs) -> dict[str, str | None]:
    """Case id → group, the groups of paired cases made one; None for a case that belongs with no other.

    Pairs of cases that are not among these are passed over. The joined group has the first name in the alphabet, that of a patient
    or sequence where there is one.
    """
    names = {case.id: case.group or f"case {case.id}" for case in cases}
    known = {case.group for case in cases if is_known(case.group)}
    leader = {name: name for name in names.values()}

    def first(name: str) -> str:
        while leader[name] != name:
            leader[name] = name = leader[leader[name]]
        return name

    for one, other in pairs:
        if one in names and other in names:
            ends = sorted((first(names[one]), first(names[other])), key=lambda name: (name not in known, name))
            leader[ends[1]] = ends[0]
    sizes = Counter(first(name) for name in names.values())
    named = {}
    for case in cases:
        group = first(names[case.id])
        bare = group not in known and not group.endswith(_COPIES)
        named[case.id] = None if bare and sizes[group] == 1 else group + _COPIES if bare else group
    return named


def is_known(group: str | None) -> bool:
    """Whether a group is a patient or sequence, and not only a picture with its copies."""
    return group is not None and not group.endswith(_COPIES)


def described(cases: Iterable[Case]) -> str:
    """What the cases' groups are, in a word for tables and splits: nobody is told of groups where none are known."""
    return "group" if any(is_known(case.group) for case in cases) else "case"


def members_of(cases: Iterable[Case], joined: Mapping[str, str | None]) -> dict[str, list[Case]]:
    """Group → its cases, in their order; a case without a group is one of its own."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        found[joined[case.id] or f"case {case.id}"].append(case)
    return found


def ways_apart(cases: Sequence[Case], needed: int) -> str:
    """The options that leave so many groups of the cases: equal pictures joined alone, where that is enough."""
    exact = len(members_of(cases, join(cases, equal_pictures(cases)))) >= needed
    if exact:
        return "--join exact to join equal pictures alone, or --join none"
    return "--join none where equal pictures may lie on both sides"


def joins_in_words(groups: Mapping[str, Sequence[Case]]) -> str:
    """The largest of the sets that were made one, for people."""
    ordered = sorted(groups.values(), key=len, reverse=True)
    words = [f"{' = '.join(case.id for case in members[:3])} …" for members in ordered[:2] if len(members) > 1]
    largest = len(ordered[0]) if ordered else 0
    return f"copies of a picture are kept together, up to {largest} cases ({'; '.join(words)})"
