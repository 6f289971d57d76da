"""From the raw values of mask files to class indices: find the rule once for a whole data set, then apply it to each file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.case import IGNORE, ClassTable, LabelRule

MAX_CLASSES = 128
"""More distinct values than this are taken for instance ids."""

_WHITE = 255
_NOISE_REACH = 32
"""JPEG noise of a black and white mask stays mostly within this distance from 0 and 255 …"""
_NOISE_MASS = 0.95
"""… for at least this share of the pixels."""
_EVEN = 2
"""Tolerance, in grey values, for levels that divide 0…255 evenly."""
_COMMON = 0.1
"""A grey level in fewer than this share of the masks is a stray value, not a class."""

Reading = tuple[LabelRule, ClassTable]


def infer(counts: Mapping[int, int], files: Mapping[int, int] | None = None) -> Reading:
    """How raw mask values are read, from their pixel counts over all masks of a data set.

    Understood, in this order: 0/255; JPEG-noised black and white; label ids (0, 1, 2 …, gaps closed, 255 = ignore); evenly
    spaced grey levels (0, 127, 255). `files`: value → number of masks that hold it; a grey level must be in more than a few
    of them. Raises `DataError` that lists the values when they are none of these.
    """
    seen = {value: count for value, count in sorted(counts.items()) if count > 0}
    if not seen:
        raise DataError("there are no mask pixels to learn the label values from")
    if set(seen) == {0}:
        raise DataError("all masks are empty: every pixel of every mask is 0; check that these are the right files")
    if 0 not in seen:
        raise DataError(f"no mask has background (value 0); found {_listed(seen)}. Save masks with 0 for background")
    reading = _black_and_white(seen) or _noisy(seen) or _ids(seen) or _grey_levels(seen, files or {})
    if reading is None:
        raise DataError(
            f"unexpected mask values: {_listed(seen)}. Save masks as 0/255, or with one value per class (0, 1, 2 …; 255 = ignore)"
        )
    return reading


def apply(rule: LabelRule, raw: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Raw mask values H×W → class indices H×W (255 = ignore). Raises `DataError` naming the file and its unexpected values."""
    if rule.threshold is not None:
        return (raw >= rule.threshold).astype(np.uint8)
    table, known = _lookup(rule, 256 if raw.dtype == np.uint8 else 65536)
    if not known[raw].all():
        values, counts = np.unique(raw[~known[raw]], return_counts=True)
        unexpected = _listed(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        expected = ", ".join(str(value) for value in sorted(rule.values or {}))
        raise DataError(f"{path} has unexpected mask values: {unexpected}; the data set's values are {expected}")
    return table[raw]


def whole(array: NDArray[Any], path: Path, kind: str = "image", unit: str = "pixels") -> NDArray[Any]:
    """Labels of any number type → uint8 or uint16. `kind` and `unit` are for messages.

    Raises `DataError` naming `path` and the value: fractions, NaN, negative, above 65535.
    """
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise DataError(f"{path} has {unit} that are not numbers (NaN or infinite); labels are whole numbers")
        fractions = array[array != np.rint(array)]
        if fractions.size:
            raise DataError(
                f"{path} is no label {kind}: it has {fractions.size} {unit} with fractions, such as {fractions[0]:g}"
            )
    low, high = array.min(), array.max()
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise DataError(f"{path} has the label {low if low < 0 else high:g}; labels are 0…65535")
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def merge(masks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Several masks of one image, class indices H×W each → their union; where they overlap the higher index (and ignore) wins."""
    return np.maximum.reduce(masks)


def count_values(raw: NDArray[Any]) -> dict[int, int]:
    """Raw value → number of pixels."""
    if raw.dtype == np.uint8:
        counts = np.bincount(raw.ravel(), minlength=256)
        values = np.flatnonzero(counts)
        return dict(zip(values.tolist(), counts[values].tolist(), strict=True))
    found, number = np.unique(raw, return_counts=True)
    return dict(zip(found.tolist(), number.tolist(), strict=True))


def _black_and_white(seen: Mapping[int, int]) -> Reading | None:
    if set(seen) != {0, _WHITE}:
        return None
    return LabelRule(values={0: 0, _WHITE: 1}, reason="values 0 and 255: background and foreground"), ClassTable()


def _noisy(seen: Mapping[int, int]) -> Reading | None:
    """Black and white with grey in between: JPEG masks, and masks that were resized with interpolation."""
    high = [value for value in seen if _WHITE - _NOISE_REACH <= value <= _WHITE]
    if len(high) < 2 or max(seen) > _WHITE:
        return None
    total = sum(seen.values())
    near = sum(count for value, count in seen.items() if value <= _NOISE_REACH or value in high)
    if near < _NOISE_MASS * total:
        return None
    grey = 1 - (seen.get(0, 0) + seen.get(_WHITE, 0)) / total
    reason = f"black and white with {grey:.2%} grey pixels (JPEG noise or interpolation): 128 and above is foreground"
    return LabelRule(threshold=128, reason=reason), ClassTable()


def _ids(seen: Mapping[int, int]) -> Reading | None:
    """Label ids; 255 beside ids of 1 and more is ignored."""
    ids = [value for value in seen if value != IGNORE]
    if IGNORE in seen and not _plausible_beside_ignore(ids):
        return None
    if len(ids) < 2:
        return None
    if len(ids) > MAX_CLASSES:
        raise DataError(
            f"masks have {len(ids)} distinct values; that looks like instance ids: save one value per class instead"
        )
    values = {value: index for index, value in enumerate(ids)}
    words = [f"label ids {_short(ids)}"]
    if ids != list(range(len(ids))):
        words.append(f"read as classes 0…{len(ids) - 1} in this order")
    if IGNORE in seen:
        values[IGNORE] = IGNORE
        words.append(f"255 is ignored ({seen[IGNORE] / sum(seen.values()):.2%} of the pixels)")
    return LabelRule(values=values, reason=", ".join(words)), _named(ids)


def _plausible_beside_ignore(ids: Sequence[int]) -> bool:
    """255 means 'ignore' only beside small, nearly gapless ids; beside 128, say, it is more likely a grey level."""
    return max(ids) < 2 * len(ids)


def _grey_levels(seen: Mapping[int, int], files: Mapping[int, int]) -> Reading | None:
    """Classes that were spread over 0…255 so that they can be seen: 0, 127, 255 or 0, 85, 170, 255."""
    levels = list(seen)
    step = _WHITE / (len(levels) - 1)
    if len(levels) > 8 or any(abs(value - index * step) > _EVEN for index, value in enumerate(levels)):
        return None
    if any(files.get(value, 1) < _COMMON * max(files.values(), default=1) for value in levels):
        return None
    reason = f"evenly spaced grey levels {_short(levels)}: read as classes 0…{len(levels) - 1} in this order"
    return LabelRule(values={value: index for index, value in enumerate(levels)}, reason=reason), _named(levels)


def _named(ids: Sequence[int]) -> ClassTable:
    if len(ids) == 2:
        return ClassTable()
    return ClassTable(names=("background", *(f"class {value}" for value in ids[1:])))


def _lookup(rule: LabelRule, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    table, known = np.zeros(size, np.uint8), np.zeros(size, np.bool_)
    for value, index in (rule.values or {}).items():
        if value < size:
            table[value], known[value] = index, True
    return table, known


def _listed(counts: Mapping[int, int], most: int = 10) -> str:
    shown = [f"{value} ({count} px)" for value, count in list(counts.items())[:most]]
    more = len(counts) - most
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _short(values: Sequence[int]) -> str:
    if len(values) <= 10:
        return ", ".join(map(str, values))
    return f"{values[0]}, {values[1]}, … {values[-1]}"
