"""nnU-Net's `dataset.json`: labels that are regions, with the order in which they are painted; read, and written.

{"labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}, "regions_class_order": [1, 2, 3]}

A region is a list of values. They overlap, so that values are what tells classes; values that are in the same regions are one.
The order has a value for each region, in the order of the labels: what a pixel of that region is painted, one upon the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from delineate.data.core.label_table import BACKGROUND, IGNORED
from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import Region, regions_fault

__all__ = ["ORDER", "class_entries", "region_labels", "regions_in_order"]

ORDER = "regions_class_order"


def class_entries(labels: Mapping[str, Any], *, ordered: bool) -> list[tuple[str, int]]:
    """(name, value) of each value that the labels name, where some overlap: a value that is a label alone has its name, others are
    called by their number. `ordered`: there is an order of regions; values that are in the same ones are then one class.

    Raises `ValueError` for what is no value.
    """
    parts = _parts(labels)
    holders: dict[int, list[str]] = {}
    for name, values in parts.items():
        for value in values:
            holders.setdefault(value, []).append(name)
    found, known = [], dict[tuple[str, ...], str]()
    for value, own in holders.items():
        alone = len(own) == 1 and (len(parts[own[0]]) == 1 or own[0].lower() in (BACKGROUND, IGNORED))
        name = own[0] if alone else f"label {value}"
        found.append((known.setdefault(tuple(own), name) if ordered else name, value))
    return found


def regions_in_order(labels: Mapping[str, Any], order: Any, classes: ClassTable) -> tuple[Region, ...]:
    """The regions of `labels` in the classes made of `class_entries`, each painted as the order says.

    Raises `ValueError` saying in one line what is wrong.
    """
    parts = {name: values for name, values in _parts(labels).items() if name.lower() != IGNORED and values != [0]}
    if not isinstance(order, Sequence) or len(order) != len(parts):
        given = f"{len(order)} values" if isinstance(order, Sequence) else "no list of values"
        raise ValueError(
            f"'{ORDER}' has {given} for {len(parts)} regions ({', '.join(parts)}); give one for each, in that order"
        )
    rule = classes.labels
    assert rule is not None, "made with its values"
    regions: list[Region] = []
    for (name, values), painted in zip(parts.items(), order, strict=True):
        members = tuple(sorted({index for value in values if (index := rule.index_of(value)) is not None}))
        paints = rule.index_of(painted) if isinstance(painted, int) else None
        if paints is None or (paints not in members and paints != _around(regions, members)):
            raise ValueError(f"'{ORDER}' paints '{name}' as {painted!r}, which is none of its values {values}")
        regions.append(Region(name=name, classes=members, paints=paints if paints in members else None))
    if fault := regions_fault(regions, classes.names):
        raise ValueError(fault)
    return tuple(regions)


def region_labels(classes: ClassTable, values: Sequence[int]) -> dict[str, Any]:
    """The entries `labels` (without the value to ignore) and `regions_class_order` for the classes' regions; `values`: of the
    classes in the label files."""
    labels: dict[str, Any] = {classes.names[0]: values[0]}
    order: list[int] = []
    for at, region in enumerate(classes.regions):
        labels[region.name] = [values[index] for index in region.classes]
        around = _around(classes.regions[:at], region.classes)
        order.append(values[around if region.paints is None else region.paints])
    return {"labels": labels, ORDER: order}


def _parts(labels: Mapping[str, Any]) -> dict[str, list[int]]:
    parts = {name: given if isinstance(given, list) else [given] for name, given in labels.items()}
    for values in parts.values():
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool):
                raise ValueError(f"{value!r} is no value")
    return parts


def _around(painted: Sequence[Region], members: Sequence[int]) -> int:
    """The class that was painted last around these classes; 0 where none was."""
    around = [region.paints for region in painted if set(members) <= set(region.classes) and region.paints is not None]
    return around[-1] if around else 0
