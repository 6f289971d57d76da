"""The table of labels that lies beside the data: a `labels.yaml`, or what challenges and labeling tools write.

dataset.json      the Medical Segmentation Decathlon and nnU-Net: {"labels": {"background": 0, "tumor": 1}}, or with regions
                  (`data.core.nnunet_regions`)
labelmap.txt      CVAT, beside masks in Pascal VOC's folders: background:0,0,0:: and so on, the colors of masks
_classes.csv      Roboflow, beside masks: Pixel Value, Class
class_dict.csv    CamVid's form: name,r,g,b
objectInfo150.txt ADE20K: a table whose first column is the value and whose last the name
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.common.files import parse_json
from delineate.data.core.label_table import (
    BACKGROUND,
    IGNORED,
    LabelTable,
    pairs_of,
    read_labels_file,
    table_of,
)
from delineate.data.core.nnunet_regions import ORDER, class_entries, regions_in_order

__all__ = ["Entries", "find_labels"]

_FILE_NAMES = ("labels.yaml", "labels.yml")
_CHALLENGE = "dataset.json"
"""Where the Medical Segmentation Decathlon and nnU-Net keep the names of their labels."""
_INSIDE = (
    "labels",
    "label",
    "mask",
    "masks",
    "labelstr",
    "labelsts",
    "annotations",
    "gt",
    "ground truth",
    "groundtruth",
)

_BORDER = "#e0e0c0"
"""The color of borders that Pascal VOC leaves out."""
_SPLITS = ("train", "Train", "training")
"""Folders of a split in which a table may lie, since each split has a copy of it."""

Entries = list[tuple[str, Any]]


def find_labels(folder: Path, *, of_tools: bool = True) -> LabelTable | None:
    """The table that lies beside the data, in a folder or above its masks; None where there is none.

    `of_tools`: whether files of challenges and tools count; not where the masks themselves bring names.
    Raises `DataError` for a `labels.yaml` that cannot be understood, and for regions of a `dataset.json` that are not nested or
    whose order does not fit them; a `dataset.json` or a tool's file without usable labels is passed over.
    """
    above = [folder.parent] if folder.name.lower() in _INSIDE else []
    for place in (folder, *above):
        for name in _FILE_NAMES:
            if (place / name).is_file():
                return read_labels_file(place / name)
        if of_tools and (place / _CHALLENGE).is_file():
            return _challenge(place / _CHALLENGE)
    for place in (folder, *above, *(folder / name for name in _SPLITS)) if of_tools else ():
        for name, read in _OF_TOOLS.items():
            if (place / name).is_file():
                return _of_tool(place / name, read)
    return None


def _challenge(path: Path) -> LabelTable | None:
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
        if not isinstance(content, Mapping) or not isinstance(content.get("labels"), Mapping):
            return None
        labels = content["labels"]
        ordered = ORDER in content and any(isinstance(values, list) and len(values) > 1 for values in labels.values())
        try:
            return table_of(list(pairs_of(labels, path)), str(path))
        except DataError:
            by = "regions" if ordered else "regions that overlap: by value"
            table = table_of(class_entries(labels, ordered=ordered), f"{path} ({by})")
    except (OSError, ValueError, DataError):
        return None
    if not ordered:
        return table
    try:
        return replace(table, regions=regions_in_order(labels, content[ORDER], table.classes))
    except ValueError as error:
        raise DataError(f"{path}: {error}; mend it, or write a labels.yaml beside it, which is read instead") from error


def _of_tool(path: Path, read: Callable[[Sequence[str]], Entries]) -> LabelTable | None:
    try:
        return table_of(read(path.read_text(encoding="utf-8-sig").splitlines()), str(path))
    except (OSError, ValueError, IndexError, KeyError, DataError):
        return None


def _labelmap(lines: Sequence[str]) -> Entries:
    """`wall:255,0,0:parts:actions`."""
    found: Entries = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            name, color = line.split(":")[:2]
            found.append((name, _color(color.split(","))))
    colors = {color for _, color in found}
    return found if _BORDER in colors else [*found, (IGNORED, _BORDER)]


def _pixel_values(lines: Sequence[str]) -> Entries:
    """`Pixel Value, Class`."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if row]
    return [(row[1], row[0]) for row in rows[1:]]


def _class_dict(lines: Sequence[str]) -> Entries:
    """`name,r,g,b`."""
    rows = list(csv.DictReader(lines))
    return [(row["name"], _color([row["r"], row["g"], row["b"]])) for row in rows]


def _object_info(lines: Sequence[str]) -> Entries:
    """`Idx … Name`, with tabs between; a name may be several words, of which the first is taken."""
    rows = [line.split("\t") for line in lines[1:] if line.strip()]
    return [(BACKGROUND, 0), *((re.split("[;,]", row[-1])[0].strip(), row[0].strip()) for row in rows)]


def _color(parts: Sequence[str]) -> str:
    red, green, blue = (int(part) for part in parts)
    return f"#{red:02x}{green:02x}{blue:02x}"


_OF_TOOLS: dict[str, Callable[[Sequence[str]], Entries]] = {
    "labelmap.txt": _labelmap,
    "_classes.csv": _pixel_values,
    "class_dict.csv": _class_dict,
    "objectInfo150.txt": _object_info,
}
