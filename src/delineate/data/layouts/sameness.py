"""Masks that are nearly the same in all cases: the field of view of a camera, not what is to be found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.overview import glance
from delineate.data.core.findings import Finding
from delineate.data.core.manifest import Case
from delineate.data.core.words import Role
from delineate.data.layouts.choice import quoted
from delineate.data.layouts.pairing import pair
from delineate.data.layouts.pictures import Pictures
from delineate.data.layouts.roles import CHOSEN, Item

__all__ = ["LOOKED_AT", "check_alike"]

LOOKED_AT = 16
"""Masks that are read, spread over the set."""
_ALIKE = 0.9
"""Least Dice of each mask with what most of them mark."""
_SIDE = 64
_FLAT_VALUES = 32
_RIM, _SOLID = 0.1, 0.9
"""Masks have so few values, or so large a share of pixels so near to black or white: JPEG blurs them."""


def check_alike(root: Path, cases: Sequence[Case], found: Pictures, items: Sequence[Item]) -> list[Finding]:
    """A warning of masks that are nearly alike; an error where another folder pairs with the images, too, and none was named."""
    labeled = [case for case in cases if case.masks]
    if len(labeled) < 3 or not _alike(root, labeled):
        return []
    named = any(mask.source == CHOSEN for mask in found.masks)
    folder = next((mask.folder for mask in found.masks if mask.folder), "")
    text = f"the masks{f' in {folder}' if folder else ''} are nearly the same in all cases"
    other = None if named else _other(found, items)
    if other is None:
        mend = "look whether they mark what is to be found, or a camera's field of view"
        return [Finding("warning", text, mend)]
    text += f", as those of a camera's field of view are, and {other} pairs with the images, too"
    mend = f"say which are meant: --masks {quoted(other)} or --masks {quoted(folder or '...')}"
    return [Finding("error", text, mend)]


def _alike(root: Path, cases: Sequence[Case]) -> bool:
    """Whether each mask marks nearly what most of them mark."""
    chosen = sorted({round(at) for at in np.linspace(0, len(cases) - 1, min(LOOKED_AT, len(cases)))})
    try:
        masks = [_small(root / cases[at].masks[0]) for at in chosen]
    except DataError:
        return False  # what cannot be read is told where it is read for good
    most = np.mean(masks, axis=0) > 0.5
    if not most.any() or most.all():
        return False
    dice = [2 * (mask & most).sum() / max(1, mask.sum() + most.sum()) for mask in masks]
    return min(dice) >= _ALIKE


def _small(path: Path) -> NDArray[np.bool_]:
    mask = (glance(path, mask=True) > 0).astype(np.uint8)
    return cv2.resize(mask, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) > 0


def _other(found: Pictures, items: Sequence[Item]) -> str | None:
    """Another folder whose files pair with at least half of the images."""
    taken = {item.path for item in (*found.images, *found.masks)}
    folders: dict[str, list[Item]] = {}
    for item in items:
        if item.path not in taken and item.role in (Role.NONE, Role.MASK, Role.RATER):
            name = item.folder or (item.file.parts[-1] if item.file.parts else "")
            folders.setdefault(name, []).append(item)
    for name, members in folders.items():
        paired = pair(found.images, members, lambda item: None).found
        if name and 2 * len(paired) >= len(found.images) and _could_be_mask(members[0].path):
            return name
    return None


def _could_be_mask(path: Path) -> bool:
    """Whether a file shows flat areas, as masks do: few values, or nearly all pixels black or white."""
    try:
        image = glance(path)
    except DataError:
        return True
    gray = image if image.ndim == 2 else image[..., :3].reshape(-1, 3)
    values, counts = np.unique(gray, axis=None if image.ndim == 2 else 0, return_counts=True)
    if len(values) <= _FLAT_VALUES:
        return True
    if image.dtype.kind == "f":
        return False
    top = float(np.iinfo(image.dtype).max)
    levels = values if image.ndim == 2 else values.mean(axis=1)
    return bool(counts[(levels < _RIM * top) | (levels > (1 - _RIM) * top)].sum() >= _SOLID * counts.sum())
