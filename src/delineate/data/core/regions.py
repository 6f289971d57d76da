"""Regions: overlapping parts of the foreground that a network learns one by one, such as a whole tumor and the core inside it.

A region is a set of classes. Of any two, one lies inside the other or they share no class, so that each class is told by the
regions it is in. Masks stay maps of classes: a region is painted onto what was painted before it, the outer ones first, each in
the class that is in it and in none of the regions inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from delineate.common.names import did_you_mean

__all__ = ["Region", "WantedRegions", "is_one_of", "make_regions", "parse_regions", "regions_fault"]


class Region(BaseModel):
    """A named set of classes.

    Example:
        >>> from delineate.data.core.regions import Region
        >>> Region(name="core", classes=(2, 3), paints=2).classes
        (2, 3)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: tuple[int, ...]
    """Their indices, ascending."""
    paints: int | None = None
    """The class of a pixel that is in this region and in none inside it; None where the regions inside it leave no class over: then
    it paints nothing by itself."""


def make_regions(given: Mapping[str, Sequence[str]], names: Sequence[str]) -> tuple[Region, ...]:
    """The regions of a class table, in the order in which they are painted: as given, or, where an inner one was given before an
    outer one, the outer ones first.

    `given`: name of a region → names of its classes; `names`: of all classes, the background first. Raises `ValueError` saying in
    one line what is wrong.
    """
    index = {name: at for at, name in enumerate(names)}
    sets = {}
    for region, members in given.items():
        for member in members:
            if member not in index:
                raise ValueError(f"region '{region}': unknown class '{member}': {did_you_mean(member, names[1:])}")
        if twice := next((name for name in members if list(members).count(name) > 1), None):
            raise ValueError(f"region '{region}' names '{twice}' twice; name each class once")
        sets[region] = frozenset(index[member] for member in members)
    regions = tuple(_region(name, members, list(sets.values())) for name, members in sets.items())
    if _first_covered(regions) is not None:
        regions = tuple(sorted(regions, key=lambda one: sum(set(one.classes) < other for other in sets.values())))
    if regions and (fault := regions_fault(regions, names)):
        raise ValueError(fault)
    return regions


def parse_regions(text: str) -> dict[str, list[str]]:
    """ "whole=edema+core,core" → name of a region → names of its classes; a name alone is the region of that class.

    Raises `ValueError`, also for a region that is given twice.
    """
    found: dict[str, list[str]] = {}
    for part in text.split(","):
        name, _, members = (side.strip() for side in part.partition("="))
        if not name:
            raise ValueError(f"'{part.strip()}' is no region; write name=class+class, with commas between regions")
        if name in found:
            raise ValueError(f"region '{name}' is there twice; name each once")
        found[name] = [member.strip() for member in (members or name).split("+")]
    return found


def _readable(value: Any) -> Any:
    if value == "auto":
        return value
    if value == "none":
        return {}
    if isinstance(value, str) and "=" in value:
        return parse_regions(value)
    if isinstance(value, Mapping):
        members = {str(name): (one,) if isinstance(one, str) else one for name, one in value.items()}
        if all(isinstance(one, list | tuple) and one for one in members.values()):
            return {name: tuple(map(str, one)) for name, one in members.items()}
    raise ValueError(
        "write auto, none, or each region with the names of its classes: {whole: [edema, core], core: [core]}"
    )


WantedRegions = Annotated[Literal["auto"] | dict[str, tuple[str, ...]], BeforeValidator(_readable)]
"""A setting: "auto", or name of a region → names of its classes, which may also be written as for `parse_regions`; none: no
regions."""


def is_one_of(indices: Any, classes: Sequence[int]) -> Any:
    """Where a map of class indices, of NumPy or torch, shows one of these classes: bool, of the same shape."""
    first, *others = classes
    found = indices == first
    for index in others:
        found = found | (indices == index)
    return found


def regions_fault(regions: Sequence[Region], names: Sequence[str]) -> str | None:
    """What is wrong with the regions of a class table, in one line; None if nothing is. `names`: of all classes."""
    for region in regions:
        if not region.name or not region.classes:
            return f"region '{region.name}' needs a name and at least one class"
        if region.name.lower() in (names[0].lower(), "ignore"):  # tables of labels mean something else by these
            return (
                f"a region cannot be called '{region.name}', which is no part of the foreground; give it another name"
            )
        if 0 in region.classes:
            return f"region '{region.name}' holds '{names[0]}', which is what lies outside of all regions; leave it out"
        if list(region.classes) != sorted(set(region.classes)) or not 0 < region.classes[-1] < len(names):
            return f"region '{region.name}' holds the class indices {region.classes}; there are 1 to {len(names) - 1}"
    for one, other in combinations(regions, 2):
        if fault := _pair_fault(one, other, names):
            return fault
    return _class_fault(regions, names) or _order_fault(regions, names)


def _region(name: str, members: frozenset[int], sets: Sequence[frozenset[int]]) -> Region:
    own = sorted(_own(members, sets))
    return Region(name=name, classes=tuple(sorted(members)), paints=own[0] if own else None)


def _own(members: frozenset[int], sets: Sequence[frozenset[int]]) -> frozenset[int]:
    """The classes that are in none of the sets inside this one."""
    return members.difference(*(other for other in sets if other < members))


def _pair_fault(one: Region, other: Region, names: Sequence[str]) -> str | None:
    a, b = set(one.classes), set(other.classes)
    if one.name.lower() == other.name.lower():
        return f"two regions are called '{other.name}'; give each a name of its own"
    if a == b:
        return f"regions '{one.name}' and '{other.name}' hold the same classes; keep one of them"
    if a & b and not (a < b or b < a):
        both, first, second = (names[min(part)] for part in (a & b, a - b, b - a))
        return (
            f"regions '{one.name}' and '{other.name}' are not nested: both hold '{both}', but only '{one.name}' holds '{first}' "
            f"and only '{other.name}' holds '{second}'; one must lie inside the other, or they must share no class"
        )
    return None


def _class_fault(regions: Sequence[Region], names: Sequence[str]) -> str | None:
    """Classes that a map of regions could not give back."""
    seen: dict[frozenset[int], int] = {}
    for index, name in list(enumerate(names))[1:]:
        inside = frozenset(at for at, region in enumerate(regions) if index in region.classes)
        if not inside:
            return f"class '{name}' is in no region; add it to one, or a region of its own: '{name}: [{name}]'"
        if (other := seen.setdefault(inside, index)) != index:
            return (
                f"classes '{names[other]}' and '{name}' are in the same regions and could not be told apart; add a region "
                "that holds one of them alone, or give both one name in labels.yaml"
            )
    return None


def _order_fault(regions: Sequence[Region], names: Sequence[str]) -> str | None:
    sets = [frozenset(region.classes) for region in regions]
    for region, members in zip(regions, sets, strict=True):
        own = _own(members, sets)
        allowed = set(own) if own else {None, *members}
        if region.paints not in allowed:
            wanted = " or ".join(f"'{names[index]}'" for index in sorted(own or members))
            return f"region '{region.name}' must be painted in a class that is in it and in none inside it: {wanted}"
    if (covered := _first_covered(regions)) is not None:
        inner, outer = covered
        return f"region '{inner.name}' is painted before '{outer.name}', which covers it; put the outer region first"
    return None


def _first_covered(regions: Sequence[Region]) -> tuple[Region, Region] | None:
    """An inner region that comes before one that it lies in, and that one."""
    for at, inner in enumerate(regions):
        for outer in regions[at + 1 :]:
            if set(inner.classes) < set(outer.classes):
                return inner, outer
    return None
