r"""Slices back into volumes: a rule on names says which slices belong together and in which order.

names → stack_names(rule) → Stack(volume, slices) → assemble(arrays) → D×H×W, the slice axis first
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.core.grouping import compile_rule

__all__ = ["AUTO", "Stack", "assemble", "choose_spacing", "parse_spacing", "stack_names", "tell_slices"]

AUTO = "auto"
_FORMS = (
    re.compile(r"^(?P<volume>.+?)[-_. ](?:slice|slc|sl|z)[-_. ]?(?P<slice>\d+)$", re.IGNORECASE),
    re.compile(r"^(?P<volume>.+?)[-_. ](?P<slice>\d+)$"),
)
"""What `auto` knows, in this order: `x_slice_07`, `x_z12`, `x-sl3`; then a bare number at the end, `x-007`. All names must
have the same form."""
_EXAMPLE = r"(?P<volume>patient\d+_frame\d+)_slice_(?P<slice>\d+)"


@dataclass(frozen=True)
class Stack:
    """The slices of one volume."""

    volume: str
    slices: tuple[str, ...]
    """Names of the slices in ascending order of their number."""


def stack_names(names: Sequence[str], rule: str = AUTO) -> tuple[Stack, ...]:
    r"""Sort names into volumes, in the order of their first slice.

    `rule`: a regular expression for the whole name with the groups `volume` and `slice` (or two unnamed groups, in this order),
    such as `(?P<volume>patient\d+_frame\d+)_slice_(?P<slice>\d+)`; or `auto`. Raises `DataError`: a rule that does not fit all
    names, a slice number that occurs twice in a volume, or is left out.
    """
    pattern = _auto(names) if rule == AUTO else _own(rule, names)
    volumes: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        match = pattern.fullmatch(name)
        assert match is not None, "the pattern was chosen to fit all names"
        volume, text = match[_key(pattern, "volume", 1)], match[_key(pattern, "slice", 2)]
        if not text.isdecimal():
            raise DataError(f"the slice rule '{rule}' reads '{text}' in '{name}', which is no slice number")
        if int(text) in volumes[volume]:
            raise DataError(f"'{volumes[volume][int(text)]}' and '{name}' are both slice {int(text)} of '{volume}'")
        volumes[volume][int(text)] = name
    return tuple(_stack(volume, slices) for volume, slices in volumes.items())


def tell_slices(names: Sequence[str]) -> bool:
    """Whether all names say in words that they are slices (`x_slice_07`, `x_z12`), not by a bare number at the end alone."""
    return bool(names) and all(_FORMS[0].fullmatch(name) for name in names)


def assemble(stack: Stack, slices: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The slices' arrays H×W, in the order of `stack.slices`, as D×H×W. Raises `DataError` naming two slices of unequal size."""
    usual = Counter(array.shape for array in slices).most_common(1)[0][0]
    odd = next((index for index, array in enumerate(slices) if array.shape != usual), None)
    if odd is not None:
        other = next(index for index, array in enumerate(slices) if array.shape == usual)
        raise DataError(
            f"slices of '{stack.volume}' differ in size: '{stack.slices[odd]}' is {_size(slices[odd])}, "
            f"'{stack.slices[other]}' is {_size(slices[other])}"
        )
    return np.stack(slices)


def choose_spacing(
    given: Sequence[float] | None, known: Sequence[float] | None, axes: int, *, case: str = ""
) -> tuple[float, ...] | None:
    """The spacing per axis of an array of 2 or 3 `axes`: what the user gave, else what the file knows, else None (voxels).

    `given` is in mm, for (row, column) or (slice, row, column). Raises `DataError`: not a number, zero or negative; as many values
    as the array has not; both given and known, and different by more than 1 %.
    """
    if given is None:
        return None if known is None else tuple(known)
    spacing = _check_spacing(given)
    what = f" of '{case}'" if case else ""
    if len(spacing) != axes:
        order = "row and column" if axes == 2 else "slice, row and column"
        raise DataError(
            f"--spacing has {count(len(spacing), 'value')}, but the masks{what} have {axes} axes: give {order} distance in mm"
        )
    if known is not None and not np.allclose(spacing, known, rtol=0.01):
        raise DataError(
            f"--spacing {_listed(spacing)} contradicts the file{what}, whose spacing is {_listed(known)} mm; leave it away"
        )
    return spacing


def _check_spacing(values: Sequence[float]) -> tuple[float, ...]:
    """The user's values as given. Raises `DataError` for NaN, infinity, zero, negative ones, or another number than 2 or 3."""
    if len(values) not in (2, 3):
        raise DataError(
            f"--spacing has {count(len(values), 'value')}; give 2 (row,column) or 3 (slice,row,column) "
            "in mm, with commas and no blanks"
        )
    if not np.isfinite(values).all() or min(values) <= 0:
        raise DataError(f"--spacing {_listed(values)} cannot be; distances are positive numbers of millimeters")
    return tuple(float(value) for value in values)


def parse_spacing(text: str) -> tuple[float, ...]:
    """`1.5,0.8,0.8` → its numbers, checked as `_check_spacing` does; commas, spaces or × may stand between them."""
    try:
        return _check_spacing([float(part) for part in re.split(r"[,;x×\s]+", text.strip())])
    except ValueError as error:
        raise DataError(f"--spacing '{text}' is not understood; give distances in mm, such as 1.5,0.8,0.8") from error


def _auto(names: Sequence[str]) -> re.Pattern[str]:
    pattern = next((form for form in _FORMS if all(form.fullmatch(name) for name in names)), None)
    if pattern is None:
        odd = next((name for name in names if not _FORMS[-1].fullmatch(name)), names[0])
        raise DataError(
            f"no slice number at the end of '{odd}' (known are …_slice_07, …_z12 and …-007, the same form for all); "
            f"give a rule such as '{_EXAMPLE}'"
        )
    return pattern


def _own(rule: str, names: Sequence[str]) -> re.Pattern[str]:
    pattern = compile_rule(rule, "slice rule")
    if not {"volume", "slice"} <= pattern.groupindex.keys() and (pattern.groupindex or pattern.groups != 2):
        raise DataError(f"the slice rule '{rule}' needs two groups, volume and slice, such as '{_EXAMPLE}'")
    odd = [name for name in names if not pattern.fullmatch(name)]
    if odd:
        hint = "; it must fit the whole name" if all(pattern.search(name) for name in odd) else ""
        raise DataError(
            f"the slice rule '{rule}' does not fit {len(odd)} of {count(len(names), 'name')}, such as '{odd[0]}'{hint}"
        )
    return pattern


def _key(pattern: re.Pattern[str], name: str, number: int) -> str | int:
    return name if pattern.groupindex else number


def _stack(volume: str, slices: dict[int, str]) -> Stack:
    missing = [str(number) for number in range(min(slices), max(slices)) if number not in slices]
    if missing:
        raise DataError(
            f"'{volume}' lacks slice{'s' * (len(missing) > 1)} {some(missing, 3)} between {min(slices)} and {max(slices)}; "
            "a volume needs all of its slices: add them, or leave out --stack (few-shot verbs: --stack none)"
        )
    return Stack(volume, tuple(slices[number] for number in sorted(slices)))


def _size(array: NDArray[Any]) -> str:
    return "×".join(str(size) for size in reversed(array.shape))


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
