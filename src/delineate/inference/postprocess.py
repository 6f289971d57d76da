"""Masks after the network: components taken away, holes filled, as a model's `artefact.postprocessing` says.

A component is what touches, be it at a corner (8 neighbors in 2-D, 26 in 3-D), as lesions are counted. A hole is what a structure
encloses on all sides, by whole faces (4 or 6 neighbors): it does not reach the image's border and holds no other structure.

What is taken from a class becomes background; what is taken from a region falls to the region around it. A map of classes stays a
map of classes, so that nested regions stay nested. To do it a second time changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.postprocessing import Postprocessing, StructureRule
from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import Region, is_one_of
from delineate.inference.components import components

__all__ = ["Structure", "applied", "cropped", "fill_holes", "postprocessed", "structures_of"]


@dataclass(frozen=True)
class Structure:
    """A class, or a region, as post-processing sees it."""

    name: str
    classes: tuple[int, ...]
    paints: int | None
    """The class that a filled hole gets; None: the region has no class of its own, and its holes cannot be filled."""
    beneath: int
    """What is left where it is taken away: the class of the region around it, else 0."""
    around: tuple[int, ...]
    """Classes that may lie in a hole of it: the background, and what belongs to the regions around it alone."""


def structures_of(table: ClassTable) -> tuple[Structure, ...]:
    """The classes or regions of a table, outer regions first."""
    if not table.regions:
        return tuple(Structure(name, classes, classes[0], 0, (0,)) for name, classes in table.structures.items())
    sets = [frozenset(region.classes) for region in table.regions]
    found = []
    for region, members in zip(table.regions, sets, strict=True):
        outer = sorted((one for one, own in zip(table.regions, sets, strict=True) if members < own), key=_extent)
        beneath = next((one.paints for one in outer if one.paints is not None), 0)
        strangers = frozenset().union(*(own for own in sets if not members < own))
        around = tuple(index for index in range(len(table.names)) if index not in strangers)
        found.append(Structure(region.name, region.classes, region.paints, beneath, around))
    return tuple(found)


def applied(
    chosen: Postprocessing | None,
    indices: NDArray[np.uint8],
    classes: ClassTable,
    voxel_volume: float | None = None,
) -> NDArray[np.uint8]:
    """A mask as a model's post-processing says: what was chosen on whole volumes is done to whole volumes only, and what was chosen
    on pictures to pictures.

    Args:
        chosen: None: nothing is done.
        indices: Class indices H×W of a picture, or X×Y×Z of a volume.
        classes: Of the model.
        voxel_volume: Of a volume, in mm³.

    Returns:
        The mask; as it was given where there is nothing to do.

    Raises:
        DataError: Sizes are in mm³, and `voxel_volume` is not known.
    """
    if chosen is None or not chosen.rules or indices.ndim != chosen.dimensions:
        return indices
    if chosen.unit == "px":
        return postprocessed(indices, classes, chosen.rules)
    if voxel_volume is None:
        raise DataError("sizes of the model's post-processing are in mm³; say how large a voxel is (voxel_volume)")
    return postprocessed(indices, classes, chosen.rules, voxel_volume)


def postprocessed(
    indices: NDArray[np.uint8], table: ClassTable, rules: Sequence[StructureRule], pixel_size: float = 1.0
) -> NDArray[np.uint8]:
    """A mask with the rules applied.

    Args:
        indices: Class indices H×W, or X×Y×Z of a whole volume. Values that are no class (255) stay and are never touched.
        table: Their names, and regions where the model has learned some.
        rules: What is done to which; a name that the table lacks is an error of the caller.
        pixel_size: Of one pixel or voxel, in the unit of the rules' sizes.

    Returns:
        A new array of the same shape.

    Example:
        >>> from delineate.artefact.postprocessing import StructureRule
        >>> from delineate.data.core.manifest import ClassTable
        >>> from delineate.inference.postprocess import postprocessed
        >>> mask = np.array([[1, 1, 0, 0, 1]], np.uint8)
        >>> postprocessed(mask, ClassTable(), [StructureRule(name="foreground", largest=True)]).tolist()
        [[1, 1, 0, 0, 0]]
    """
    result = np.array(indices, order="K")
    given = {rule.name: rule for rule in rules}
    pairs = [(one, given[one.name]) for one in structures_of(table) if one.name in given]
    assert len(pairs) == len(given), "rules are of the table's structures"
    while _take_away(result, pairs, pixel_size):
        # A region without a class of its own ends where the regions inside it do: what is taken from these is taken from it, too,
        # and it may have come apart. Each turn takes something away, so it comes to an end.
        if all(one.paints is not None for one, _ in pairs):
            break
    for one, rule in pairs:
        if rule.fill_holes:
            fill_holes(result, one)
    return result


def fill_holes(indices: NDArray[np.uint8], structure: Structure) -> bool:
    """Fill what a structure encloses, in place; whether anything was filled."""
    if structure.paints is None:
        return False
    window = cropped(indices, structure, margin=1)
    if window is None:
        return False
    part = indices[window]
    labels, count = components(~is_one_of(part, structure.classes), by_faces=True)
    # The window is wider than the structure by a pixel, but at the image's border: what reaches its edge is not enclosed.
    hole = np.ones(count + 1, bool)
    hole[0] = False
    for axis in range(part.ndim):
        for end in (0, -1):
            hole[np.take(labels, end, axis)] = False
    hole[labels[~is_one_of(part, (*structure.around, *structure.classes))]] = False
    inside = hole[labels]
    part[inside] = structure.paints
    return bool(inside.any())


def cropped(indices: NDArray[np.uint8], structure: Structure, margin: int = 0) -> tuple[slice, ...] | None:
    """The smallest window with all of a structure; None where there is nothing of it."""
    mask, window = is_one_of(indices, structure.classes), []
    for axis in range(mask.ndim):
        others = tuple(one for one in range(mask.ndim) if one != axis)
        found = np.flatnonzero(mask.any(others))
        if not len(found):
            return None
        window.append(slice(max(0, found[0] - margin), found[-1] + 1 + margin))
    return tuple(window)


def _take_away(indices: NDArray[np.uint8], pairs: Sequence[tuple[Structure, StructureRule]], pixel_size: float) -> bool:
    """Take components away, in place; whether there were any."""
    changed = False
    for structure, rule in pairs:
        if not rule.largest and not rule.min_size:
            continue
        window = cropped(indices, structure)
        if window is None:
            continue
        labels, count = components(is_one_of(indices[window], structure.classes))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        away = sizes * pixel_size < rule.min_size
        if rule.largest:
            away[np.arange(count + 1) != 1 + np.argmax(sizes[1:])] = True
        away[0] = False
        if away.any():
            indices[window][away[labels]] = structure.beneath
            changed = True
    return changed


def _extent(region: Region) -> int:
    return len(region.classes)
