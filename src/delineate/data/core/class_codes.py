"""What a class is in the words of a coding scheme, as DICOM objects say it: along with a data set's classes, and in models."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["ClassCode", "Code"]

_LONGEST = {"value": 16, "scheme": 16, "meaning": 64}
_Byte = Annotated[int, Field(ge=0, le=255)]


class Code(NamedTuple):
    """A coded concept.

    Example:
        >>> from delineate.data.core.class_codes import Code
        >>> Code("10200004", "SCT", "Liver").fault
        ''
    """

    value: str
    scheme: str
    meaning: str

    @property
    def fault(self) -> str:
        """Why DICOM cannot hold it; '' where it can."""
        if not all(self):
            return "is not [value, scheme, meaning]"
        if any(len(text) > _LONGEST[name] for name, text in self._asdict().items()):
            return "is longer than DICOM allows (16, 16 and 64 characters)"
        return ""


class ClassCode(BaseModel):
    """What one class is.

    Example:
        >>> from delineate.data.core.class_codes import ClassCode, Code
        >>> code = ClassCode(category=Code("91723000", "SCT", "Anatomical Structure"), type=Code("10200004", "SCT", "Liver"))
        >>> code.type.meaning
        'Liver'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: Code
    type: Code
    modifier: Code | None = None
    """Mostly left or right."""
    region: Code | None = None
    """Where it lies in the body."""
    color: tuple[_Byte, _Byte, _Byte] | None = None
    """RGB, where the owner has chosen one."""

    @model_validator(mode="after")
    def _codes_fit(self) -> Self:
        for name in ("category", "type", "modifier", "region"):
            code = getattr(self, name)
            if code is not None and code.fault:
                raise ValueError(f"the {name} of a class {code.fault}")
        return self
