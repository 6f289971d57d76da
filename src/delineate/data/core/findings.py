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
    """Stop at the first error, if there is one.

    Args:
        findings: of a check, of any severity.

    Raises:
        DataError: with the first error, and how many more there are.

    Example:
        >>> from delineate.data.core.findings import Finding, raise_errors
        >>> raise_errors([Finding("note", "two pictures are equal")])
        >>> raise_errors([Finding("error", "a.png has no mask", "add it")])
        Traceback (most recent call last):
        delineate.common.errors.DataError: a.png has no mask; add it
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    more = f" (and {len(errors) - 1} more faults; `delineate data check` lists them)" if len(errors) > 1 else ""
    raise DataError(f"{errors[0]}{more}")


def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun, for messages.

    Args:
        number: how many.
        singular: the noun for one.
        plural: for all other numbers; empty: `singular` with an s.

    Returns:
        The text.

    Example:
        >>> from delineate.data.core.findings import count
        >>> count(1, "mask"), count(3, "mask"), count(2, "is", "are")
        ('1 mask', '3 masks', '2 are')
    """
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def some(names: Sequence[str], most: int = _SHOWN) -> str:
    """The first few of many names, for messages.

    Args:
        names: all of them.
        most: how many are written out.

    Returns:
        Those with commas, and the number of the rest.

    Example:
        >>> from delineate.data.core.findings import some
        >>> some(["a.png", "b.png", "c.png"], most=2)
        'a.png, b.png and 1 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
