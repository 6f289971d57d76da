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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from delineate.common.errors import DataError
from delineate.data.core.class_codes import ClassCode, Code
from delineate.data.core.findings import some
from delineate.data.formats.dicom_masks.snomed import ANATOMY, TISSUE, known_code

__all__ = ["CodeTable", "CodedClass", "Segment", "default_segments", "read_codes", "read_segments", "segments_of"]

_CATEGORY, _TYPE = "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"
_MODIFIER, _REGION = "SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionSequence"
_COLOR = "recommendedDisplayRGBValue"
_KEYS = ("category", "type", "modifier", "region", "color")
_Color = tuple[int, int, int]


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
    color: _Color = (128, 174, 128)
    """RGB."""

    @classmethod
    def by_default(cls, label: str, color: _Color) -> Self:
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


@dataclass(frozen=True)
class CodedClass:
    """An entry of a file of codes."""

    name: str
    """Of the class; in dcmqi's form the label of the segment, else what its codes mean; never empty."""
    code: ClassCode
    number: int | None = None
    """`labelID` of dcmqi's form: the class's index."""
    label: str = ""
    """What dcmqi's form calls it, be it nothing."""


@dataclass(frozen=True)
class CodeTable:
    """A file of codes that has been read."""

    path: Path
    entries: tuple[CodedClass, ...]

    def of_classes(self, names: Sequence[str]) -> tuple[ClassCode, ...]:
        """The codes of foreground classes: by name, or in dcmqi's form by index.

        Args:
            names: of the foreground classes, in order; their indices are counted from 1.

        Returns:
            One for each class. Entries of other classes are passed over.

        Raises:
            DataError: naming the file: it lacks a class, or calls one as another one is called.
        """
        indices = {name.casefold(): at for at, name in enumerate(names, 1)}
        found: dict[int, ClassCode] = {}
        for entry in self.entries:
            called = indices.get(entry.label.casefold() if entry.number is not None else entry.name.casefold())
            if entry.number is not None and called not in (None, entry.number):
                raise DataError(
                    f"{self.path}, labelID {entry.number} is called '{entry.label}', the name of class {called}; correct one"
                )
            if (index := called if entry.number is None else entry.number) is not None:
                found[index] = entry.code
        missing = [f"“{name}”" for at, name in enumerate(names, 1) if at not in found]
        if missing:
            raise DataError(f"{self.path} has no code for {some(missing)}; add it, or leave --codes out")
        return tuple(found[at] for at in range(1, len(names) + 1))


def default_segments(names: Sequence[str], colors: Sequence[_Color]) -> tuple[Segment, ...]:
    """Segments of foreground classes by their names.

    Args:
        names: of the foreground classes, in order.
        colors: RGB of each.

    Returns:
        One for each.
    """
    return tuple(Segment.by_default(name, color) for name, color in zip(names, colors, strict=True))


def segments_of(names: Sequence[str], codes: Sequence[ClassCode], colors: Sequence[_Color]) -> tuple[Segment, ...]:
    """Segments of foreground classes whose codes are known.

    Args:
        names: of the foreground classes, in order.
        codes: of each.
        colors: RGB of each, where its code names none.

    Returns:
        One for each.
    """
    return tuple(
        Segment(name, code.category, code.type, code.modifier, code.region, code.color or color)
        for name, code, color in zip(names, codes, colors, strict=True)
    )


def read_segments(path: Path, names: Sequence[str], colors: Sequence[_Color]) -> tuple[Segment, ...]:
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
    return segments_of(names, read_codes(path).of_classes(names), colors)


def read_codes(path: Path) -> CodeTable:
    """What a file says of classes.

    Args:
        path: of the file, JSON or YAML.

    Returns:
        Its entries, in its order; of dcmqi's form in the order of their `labelID`.

    Raises:
        DataError: naming the file: it cannot be read, is of no known form, or says two things of one class.
    """
    try:
        from delineate.common.yaml_text import parse_yaml
    except ImportError as error:
        raise DataError(f"{path} is read by PyYAML: pip install PyYAML") from error
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"codes {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON or YAML ({error}); correct it") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path} is no table of codes: {{class: {{type: [value, scheme, meaning]}}}}, or dcmqi's JSON")
    entries = _of_dcmqi(path, content) if "segmentAttributes" in content else _of_names(path, content)
    if not entries:
        raise DataError(f"{path} has no codes; write {{class: {{type: [value, scheme, meaning]}}}}")
    return CodeTable(path, tuple(entries))


def _of_names(path: Path, content: Mapping[Any, Any]) -> list[CodedClass]:
    entries: dict[str, CodedClass] = {}
    for key, entry in content.items():
        name = " ".join(str(key).split())
        where = f"{path}, class '{name}'"
        if not isinstance(entry, Mapping) or "type" not in entry:
            raise DataError(f"{where} has no type: [value, scheme, meaning]")
        if strange := [key for key in entry if key not in _KEYS]:
            raise DataError(f"{where} has the unknown key '{strange[0]}'; known are {', '.join(_KEYS)}")
        if name.casefold() in entries:
            raise DataError(f"{where} is there twice; names that differ in case alone are one class")
        codes: dict[str, Any] = {key: _code(where, key, entry[key]) for key in _KEYS[:-1] if key in entry}
        codes.setdefault("category", ANATOMY)
        color = _color(where, entry["color"]) if "color" in entry else None
        entries[name.casefold()] = CodedClass(name, ClassCode(**codes, color=color))
    return list(entries.values())


def _of_dcmqi(path: Path, content: Mapping[Any, Any]) -> list[CodedClass]:
    listed = content["segmentAttributes"]
    if not isinstance(listed, list) or not all(isinstance(each, list) for each in listed):
        raise DataError(f"{path}: segmentAttributes is no list of lists; dcmqi's JSON has one list for each file")
    entries: dict[int, CodedClass] = {}
    for item in (item for each in listed for item in each):
        number = item.get("labelID") if isinstance(item, Mapping) else None
        if not isinstance(number, int):
            raise DataError(f"{path} has a segment without labelID, which says its class")
        where = f"{path}, labelID {number}"
        label = " ".join(str(item.get("SegmentLabel") or item.get("SegmentDescription") or "").split())
        codes: dict[str, Any] = {}
        for key, sequence in (("category", _CATEGORY), ("type", _TYPE), ("modifier", _MODIFIER), ("region", _REGION)):
            if sequence in item:
                codes[key] = _code(where, sequence, item[sequence])
        if "type" not in codes or "category" not in codes:
            raise DataError(f"{where} has no {_TYPE if 'category' in codes else _CATEGORY}")
        color = _color(where, item[_COLOR]) if _COLOR in item else None
        side = f"{codes['modifier'].meaning} " if "modifier" in codes else ""
        name = label or f"{side}{codes['type'].meaning}"
        made = CodedClass(name, ClassCode(**codes, color=color), number, label)
        if entries.setdefault(number, made) != made:
            raise DataError(f"{where} is there twice, and the two differ; a labelID means one class")
    return [entries[number] for number in sorted(entries)]


def _code(where: str, key: str, given: Any) -> Code:
    """Of [value, scheme, meaning], or dcmqi's {CodeValue, CodingSchemeDesignator, CodeMeaning}."""
    if isinstance(given, Mapping):
        given = [given.get(part) for part in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
    if not isinstance(given, list) or len(given) != 3 or any(part in (None, "") for part in given):
        raise DataError(f"{where}: {key} is not [value, scheme, meaning]")
    value, scheme, meaning = (str(part) for part in given)
    code = Code(value, scheme, meaning)
    if code.fault:
        raise DataError(f"{where}: {key} {code.fault}")
    return code


def _color(where: str, given: Any) -> _Color:
    fits = isinstance(given, list) and len(given) == 3
    if not fits or not all(type(part) is int and 0 <= part <= 255 for part in given):
        raise DataError(f"{where}: the color is not [red, green, blue] of 0…255")
    return given[0], given[1], given[2]
