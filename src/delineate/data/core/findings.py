"""What is wrong, odd or worth knowing about a data set, in sentences for its owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from delineate.common.errors import DataError

__all__ = ["Finding", "count", "raise_errors", "some"]

_Severity = Literal["error", "warning", "note"]
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One observation. Errors prevent the use of the data; warnings and notes do not."""

    severity: _Severity
    text: str
    mend: str = ""
    """What the user can do; empty where there is nothing to do."""

    def __str__(self) -> str:
        return f"{self.text}; {self.mend}" if self.mend else self.text


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise `DataError` with the first error, saying how many more there are; return when there are none."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    more = f" (and {len(errors) - 1} more faults; `delineate data check` lists them)" if len(errors) > 1 else ""
    raise DataError(f"{errors[0]}{more}")


def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def some(names: Sequence[str], most: int = _SHOWN) -> str:
    """The first few of many names, with the number of the rest."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
