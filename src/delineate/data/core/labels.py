"""Applies a label rule: raw values of mask files → class indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.label_reading import listed
from delineate.data.core.manifest import LabelRule
from delineate.data.core.mask_values import count_values

__all__ = ["apply", "merge", "whole"]

_ROUNDING = 1e-3
"""Labels that lie this near to a whole number are that number: scaled integers come back as 0.99998."""


def apply(rule: LabelRule, raw: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Raw mask values of any shape → class indices (255 = ignore). Raises `DataError` naming the file and its unexpected values."""
    if rule.threshold is not None:
        return (raw >= rule.threshold).astype(np.uint8)
    if raw.dtype not in (np.uint8, np.uint16):  # colors: too many for a table
        found, places = np.unique(raw, return_inverse=True)
        table, known = _lookup(rule, found.tolist())
        mask, unknown = table[places].reshape(raw.shape), ~known[places].reshape(raw.shape)
    else:
        table, known = _lookup(rule, range(256 if raw.dtype == np.uint8 else 65536))
        mask, unknown = table[raw], ~known[raw]
    if unknown.any():
        painted = rule.coding == "color"
        unexpected = listed(count_values(raw[unknown]), painted=painted)
        raise DataError(
            f"{path} has unexpected mask values: {unexpected}; the data set's values are {_known_values(rule)}"
        )
    return mask


def _known_values(rule: LabelRule) -> str:
    """The raw values that a rule reads, for people."""
    shown = [f"#{value:06x}" if rule.coding == "color" else str(value) for value in sorted(rule.values or {})]
    return ", ".join(shown + [f"{first}-{last}" for first, last, _ in rule.ranges])


def whole(array: NDArray[Any], path: Path, kind: str = "image", unit: str = "pixels") -> NDArray[Any]:
    """Labels of any number type → uint8 or uint16. `kind` and `unit` are for messages.

    Raises `DataError` naming `path` and the value: fractions, NaN, negative, above 65535.
    """
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise DataError(f"{path} has {unit} that are not numbers (NaN or infinite); labels are whole numbers")
        rounded = np.rint(array)
        fractions = array[np.abs(array - rounded) > _ROUNDING]
        if fractions.size:
            raise DataError(
                f"{path} is no label {kind}: it has {fractions.size} {unit} with fractions, such as {fractions[0]:g}"
            )
        array = rounded
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise DataError(f"{path} has the label {low if low < 0 else high:.7g}; labels are 0…65535")
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def merge(masks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Several masks of one image, class indices H×W each → their union; where they overlap the higher index (and ignore) wins."""
    return np.maximum.reduce(masks)


def _lookup(rule: LabelRule, values: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Class index of each of the values, and whether the rule knows it."""
    if isinstance(values, range):
        table, known = np.zeros(len(values), np.uint8), np.zeros(len(values), np.bool_)
        for first, last, index in rule.ranges:
            table[first : last + 1], known[first : last + 1] = index, True
        for value, index in (rule.values or {}).items():
            if value < len(values):
                table[value], known[value] = index, True
        return table, known
    indices = [rule.index_of(value) for value in values]
    return (
        np.array([index or 0 for index in indices], np.uint8),
        np.array([index is not None for index in indices], np.bool_),
    )
