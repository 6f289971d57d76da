"""What a DICOM object says in codes of each of its segments or regions."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from delineate.data.core.class_codes import Code

__all__ = ["UNCODED", "SegmentCodes", "code_in", "codes_of_segment", "same_concept"]

_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")
_OLD_NAMES = {"SNM3": "SRT", "99SDM": "SRT"}
"""Earlier designators of SNOMED's older codes."""


class SegmentCodes(NamedTuple):
    """As the file has them; None where it says nothing."""

    category: Code | None = None
    type: Code | None = None
    modifier: Code | None = None
    region: Code | None = None


UNCODED = SegmentCodes()


def codes_of_segment(item: Any) -> SegmentCodes:
    """The codes of a segment.

    Args:
        item: of `SegmentSequence`.

    Returns:
        Them; modifier and region are the first of several.
    """
    kind = next(iter(item.get("SegmentedPropertyTypeCodeSequence") or []), None)
    return SegmentCodes(
        code_in(item, "SegmentedPropertyCategoryCodeSequence"),
        code_in(item, "SegmentedPropertyTypeCodeSequence"),
        None if kind is None else code_in(kind, "SegmentedPropertyTypeModifierCodeSequence"),
        code_in(item, "AnatomicRegionSequence"),
    )


def code_in(item: Any, keyword: str) -> Code | None:
    """The first code of a sequence.

    Args:
        item: a data set.
        keyword: of the sequence.

    Returns:
        The code; None where there is none.
    """
    found = next(iter(item.get(keyword) or []), None)
    if found is None:
        return None
    value = next((str(found.get(name)) for name in _VALUES if found.get(name)), None)
    if value is None:
        return None
    return Code(value, str(found.get("CodingSchemeDesignator") or ""), str(found.get("CodeMeaning") or ""))


def same_concept(one: Code | None, other: Code | None) -> bool:
    """Whether two codes mean the same: by scheme and value, SNOMED's older codes (`T-62000`) by those that replace them.

    Args:
        one: a code.
        other: another one.

    Returns:
        Whether they do; False where one is None.
    """
    return one is not None and other is not None and bool(_of_pydicom(one) == _of_pydicom(other))


@cache
def _of_pydicom(code: Code) -> Any:
    kind = import_module("pydicom.sr.coding").Code
    return kind(code.value, _OLD_NAMES.get(code.scheme, code.scheme), code.meaning)
