"""What tells one coding of mask values from another: noise from classes, ids from gray levels, strays from rare classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from delineate.data.core.manifest import IGNORE
from delineate.data.core.mask_values import NEAR, Values

__all__ = [
    "MAX_CLASSES",
    "SPECK",
    "WHITE",
    "components",
    "counts_objects",
    "is_dense",
    "is_noisy",
    "rare",
    "rises_evenly",
    "specks",
    "third_level",
]

MAX_CLASSES = 128
"""More distinct values than this are taken for instance ids."""
WHITE = 255

_MASS = 0.95
"""Share of a noisy mask's pixels that are near 0 or 255."""
_LEAST_VALUES = 3
"""Noise has at least so many values between 0 and 255; fewer may be strays."""
_FEW_VALUES = 6
_INNER, _INNER_OF_FEW = 0.5, 0.02
"""More of the middle grays than this do not lie inside of gray regions; of few values, which may be classes, hardly any."""
_REACH = 8
"""Half of the pixels near black, and near white, are within this distance of it."""
_TINY = 3
"""The same for masks of few values."""
_REGIONS = 0.05
_PEAK = 4.0
"""Near 255 a noisy mask has so many times more pixels per value than in the middle."""
_EVEN = 2
"""Tolerance, in gray values, for levels that divide 0…255 evenly."""
_COMMON = 0.1
"""A value in fewer than this share of the masks is rare."""
_FEW_OBJECTS, _MANY_OBJECTS = 8, 60
"""So few ids may be classes that all masks happen to have from the first on; so many hardly, even where all masks have all."""
SPECK = 8
"""A value with at most so many pixels in every file that has it may be a slip of the pen."""


def is_noisy(counts: Mapping[int, int], inner: int = 0) -> bool:
    """Whether a file is black and white with noise of JPEG or interpolation: many values, nearly all near 0 and 255.

    `inner`: pixels inside of gray regions. Instance maps have many values too, but no crowd of pixels near 255.
    """
    if max(counts) > WHITE or min(counts) < 0:
        return False
    between = [value for value in counts if value not in (0, WHITE)]
    both_ends = any(value <= NEAR for value in between) and any(value >= WHITE - NEAR for value in between)
    if not both_ends and (len(between) < _LEAST_VALUES or max(between, default=0) < WHITE / 2):
        return False
    low = sum(number for value, number in counts.items() if value <= NEAR)
    high = sum(number for value, number in counts.items() if value >= WHITE - NEAR)
    middle = sum(counts.values()) - low - high
    if low + high < _MASS * sum(counts.values()):
        return False
    if inner > (_INNER if len(between) > _FEW_VALUES else _INNER_OF_FEW) * middle:
        return False
    far = sum(counts[value] for value in between if _TINY < value < WHITE - _TINY)
    if len(between) < _LEAST_VALUES and far > counts.get(WHITE, 0) / 2:
        return False
    few = len(between) <= _FEW_VALUES
    if few and WHITE not in counts:
        return False
    reach = _TINY if few else _REACH
    return _peaks(counts, 0, reach, middle) and _peaks(counts, WHITE, reach, middle)


def _peaks(counts: Mapping[int, int], end: int, reach: int, middle: int) -> bool:
    """Whether what lies near black (or white) is mostly within `reach` of it, and far denser than the middle grays."""
    near = {value: number for value, number in counts.items() if abs(value - end) <= NEAR}
    own = sum(number for value, number in near.items() if abs(value - end) <= reach)
    return own >= max(1, sum(near.values()) / 2) and own / (reach + 1) >= _PEAK * middle / (WHITE - 2 * NEAR)


def third_level(values: Values, noisy: Sequence[int]) -> int | None:
    """A gray at which the noisy masks have regions, not edges alone: a third class. None where there is none."""
    density = [0] * 256
    for at in noisy:
        for value, number in values.each[at].items():
            density[value] += number
    middle = sum(density[NEAR + 1 : WHITE - NEAR])
    if sum(values.files[at].inner for at in noisy) <= _REGIONS * middle:
        return None
    windows = {start: sum(density[start : start + 16]) for start in range(NEAR + 1, WHITE - NEAR - 16, 8)}
    edge = max(windows[NEAR + 1], windows[max(windows)])
    start, most = max(windows.items(), key=lambda item: item[1])
    return start + 8 if most > _PEAK * max(edge, 8) else None


def is_dense(ids: Sequence[int]) -> bool:
    """Whether ids are small and nearly without gaps: only beside such does 255 mean 'ignore'."""
    return max(ids) < 2 * len(ids)


def counts_objects(values: Values, ids: Sequence[int]) -> bool:
    """Whether every mask holds 1, 2, … up to a number of its own, as maps of single objects do, and not only by chance."""
    last = [max(each) for each in values.each if max(each) not in (0, IGNORE)]
    from_one = all(set(range(1, max(each))) <= set(each) for each in values.each if max(each) != IGNORE)
    varied = len(set(last)) >= min(3, len(last))
    return from_one and (len(ids) > _MANY_OBJECTS or (varied and len(ids) > _FEW_OBJECTS))


def rises_evenly(levels: Sequence[int]) -> bool:
    """Whether values divide 0…255 into equal steps, three to eight of them."""
    if not 3 <= len(levels) <= 8:
        return False
    step = WHITE / (len(levels) - 1)
    return all(abs(value - index * step) <= _EVEN for index, value in enumerate(levels))


def rare(holders: Sequence[int], files: int) -> bool:
    """Whether so few of the files have a value that it may be a slip."""
    return files > 1 and len(holders) <= max(1, _COMMON * files)


def specks(values: Values, value: int) -> bool:
    """Whether a value has a few pixels only in each file that has it."""
    found = [each[value] for each in values.each if value in each]
    return len(values.each) > 1 and max(found) <= SPECK


def components(files: Sequence[Mapping[int, int]], marks: Sequence[int]) -> list[set[int]]:
    """Values that meet in a file, or meet others that do: values of two codings never meet."""
    wanted = set(marks)
    groups: list[set[int]] = []
    for counts in files:
        here = wanted & set(counts)
        if not here:
            continue
        touching = [group for group in groups if group & here]
        groups = [group for group in groups if not group & here] + [here.union(*touching)]
    return groups
