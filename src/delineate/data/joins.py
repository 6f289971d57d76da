"""What a division of cases must keep together beside groups: cases that hold the same picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from delineate.data.case import Case

Pairs = Iterable[tuple[str, str]]
"""Ids of two cases each that belong together."""


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

    Pairs of cases that are not among these are passed over. The joined group has the name that comes first in the alphabet.
    """
    names = {case.id: case.group or f"case {case.id}" for case in cases}
    leader = {name: name for name in names.values()}

    def first(name: str) -> str:
        while leader[name] != name:
            leader[name] = name = leader[leader[name]]
        return name

    for one, other in pairs:
        if one in names and other in names:
            ends = sorted((first(names[one]), first(names[other])))
            leader[ends[1]] = ends[0]
    sizes: dict[str, int] = defaultdict(int)
    for name in names.values():
        sizes[first(name)] += 1
    alone = {case.id for case in cases if not case.group and sizes[first(names[case.id])] == 1}
    return {name: None if name in alone else first(group) for name, group in names.items()}


def members_of(cases: Iterable[Case], joined: Mapping[str, str | None]) -> dict[str, list[Case]]:
    """Group → its cases, in their order; a case without a group is one of its own."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        found[joined[case.id] or f"case {case.id}"].append(case)
    return found
