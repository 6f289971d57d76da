"""What the classes of a mask are, in the words of a coding scheme: SNOMED's for common names, or a file of the owner's.

A file is JSON or YAML. In the short form each class has a line:

    liver: {type: [10200004, SCT, Liver], color: [221, 130, 101]}
    lesion:
      category: [49755003, SCT, Morphologically Abnormal Structure]
      type: [108369006, SCT, Neoplasm]

Files of dcmqi and 3D Slicer (`segmentAttributes`) are read as they are: their `labelID` is the class's index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from delineate.common.errors import DataError
from delineate.common.yaml_text import parse_yaml
from delineate.data.core.findings import some
from delineate.data.formats.dicom_masks.snomed import ANATOMY, TISSUE, Code, known_code

__all__ = ["Segment", "default_segments", "read_segments"]

_CATEGORY, _TYPE = "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"
_MODIFIER, _REGION = "SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionSequence"
_COLOR = "recommendedDisplayRGBValue"
_KEYS = ("category", "type", "modifier", "region", "color")


@dataclass(frozen=True)
class Segment:
    """What a class is called, means and looks like in a DICOM object."""

    label: str
    category: Code = TISSUE
    type: Code = TISSUE
    modifier: Code | None = None
    """Mostly left or right."""
    region: Code | None = None
    """Where it lies in the body."""
    color: tuple[int, int, int] = (128, 174, 128)
    """RGB."""

    @classmethod
    def by_default(cls, label: str, color: tuple[int, int, int]) -> Self:
        """By a class's name: SNOMED's code of a common structure, with its side, else the code of tissue.

        Args:
            label: the class's name.
            color: RGB.

        Returns:
            The segment; `is_generic` where the name is not known.
        """
        found = known_code(label)
        if found is None:
            return cls(label, color=color)
        return cls(label, found.category, found.type, found.side, color=color)

    @property
    def is_generic(self) -> bool:
        """Whether its code says no more than that it is tissue."""
        return self.type == TISSUE


def default_segments(names: Sequence[str], colors: Sequence[tuple[int, int, int]]) -> tuple[Segment, ...]:
    """Segments of foreground classes by their names.

    Args:
        names: of the foreground classes, in order.
        colors: RGB of each.

    Returns:
        One for each.
    """
    return tuple(Segment.by_default(name, color) for name, color in zip(names, colors, strict=True))


def read_segments(path: Path, names: Sequence[str], colors: Sequence[tuple[int, int, int]]) -> tuple[Segment, ...]:
    """Segments of foreground classes as a file says.

    Args:
        path: of the file, JSON or YAML.
        names: of the foreground classes, in order; their indices are counted from 1.
        colors: RGB of each, where the file names none.

    Returns:
        One for each class. Entries of other classes are passed over.

    Raises:
        DataError: naming the file: it cannot be read, is of no known form, or lacks a class.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON or YAML ({error}); correct it") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path} is no table of codes: {{class: {{type: [value, scheme, meaning]}}}}, or dcmqi's JSON")
    entries = _of_dcmqi(path, content, names) if "segmentAttributes" in content else _of_names(path, content)
    found = {name.casefold(): entry for name, entry in entries.items()}
    missing = [name for name in names if name.casefold() not in found]
    if missing:
        raise DataError(
            f"{path} has no code for {some([f'“{name}”' for name in missing])}; add it, or leave --codes out"
        )
    return tuple(
        replace(segment, label=name, color=color if found_color is None else found_color)
        for name, color in zip(names, colors, strict=True)
        for segment, found_color in [found[name.casefold()]]
    )


_BARE = Segment("")
_Entry = tuple[Segment, tuple[int, int, int] | None]


def _of_names(path: Path, content: Mapping[Any, Any]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for name, entry in content.items():
        where = f"{path}, class '{name}'"
        if not isinstance(entry, Mapping) or "type" not in entry:
            raise DataError(f"{where} has no type: [value, scheme, meaning]")
        if strange := [key for key in entry if key not in _KEYS]:
            raise DataError(f"{where} has the unknown key '{strange[0]}'; known are {', '.join(_KEYS)}")
        codes: dict[str, Any] = {key: _code(where, key, entry[key]) for key in _KEYS[:-1] if key in entry}
        codes.setdefault("category", ANATOMY)
        color = _color(where, entry["color"]) if "color" in entry else None
        entries[str(name)] = replace(_BARE, label=str(name), **codes), color
    return entries


def _of_dcmqi(path: Path, content: Mapping[Any, Any], names: Sequence[str]) -> dict[str, _Entry]:
    """By `labelID`; a label that names another class is a contradiction."""
    listed = content["segmentAttributes"]
    if not isinstance(listed, list) or not all(isinstance(each, list) for each in listed):
        raise DataError(f"{path}: segmentAttributes is no list of lists; dcmqi's JSON has one list for each file")
    entries: dict[str, _Entry] = {}
    indices = {name.casefold(): at for at, name in enumerate(names, 1)}
    for item in (item for each in listed for item in each):
        number = item.get("labelID") if isinstance(item, Mapping) else None
        if not isinstance(number, int):
            raise DataError(f"{path} has a segment without labelID, which says its class")
        where = f"{path}, labelID {number}"
        label = str(item.get("SegmentLabel") or item.get("SegmentDescription") or "")
        if indices.get(label.casefold(), number) != number:
            raise DataError(f"{where} is called '{label}', the name of class {indices[label.casefold()]}; correct one")
        if not 1 <= number <= len(names):
            continue
        codes: dict[str, Any] = {}
        for key, sequence in (("category", _CATEGORY), ("type", _TYPE), ("modifier", _MODIFIER), ("region", _REGION)):
            if sequence in item:
                codes[key] = _code(where, sequence, item[sequence])
        if "type" not in codes or "category" not in codes:
            raise DataError(f"{where} has no {_TYPE if 'category' in codes else _CATEGORY}")
        color = _color(where, item[_COLOR]) if _COLOR in item else None
        entries[names[number - 1]] = replace(_BARE, label=names[number - 1], **codes), color
    return entries


def _code(where: str, key: str, given: Any) -> Code:
    """Of [value, scheme, meaning], or dcmqi's {CodeValue, CodingSchemeDesignator, CodeMeaning}."""
    if isinstance(given, Mapping):
        given = [given.get(part) for part in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
    if not isinstance(given, list) or len(given) != 3 or any(part in (None, "") for part in given):
        raise DataError(f"{where}: {key} is not [value, scheme, meaning]")
    value, scheme, meaning = (str(part) for part in given)
    if len(value) > 16 or len(scheme) > 16 or len(meaning) > 64:
        raise DataError(f"{where}: {key} is longer than DICOM allows (16, 16 and 64 characters)")
    return Code(value, scheme, meaning)


def _color(where: str, given: Any) -> tuple[int, int, int]:
    fits = isinstance(given, list) and len(given) == 3
    if not fits or not all(isinstance(part, int) and 0 <= part <= 255 for part in given):
        raise DataError(f"{where}: the color is not [red, green, blue] of 0…255")
    return given[0], given[1], given[2]
