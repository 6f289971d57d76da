"""What several verbs are given, as the rooms take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource

__all__ = ["path", "several", "spacing"]

_One = TypeVar("_One", bound="Path | str | DataSource")


def path(given: Path | str | None) -> Path | None:
    """Text or a path."""
    return None if given is None else Path(given)


def several(given: _One | Sequence[_One]) -> Sequence[_One]:
    """One file, folder or data set alone is a list of one; a text is no list of its letters."""
    return given if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def spacing(given: str | Sequence[float] | None) -> Sequence[float] | None:
    """Millimeters as numbers, or as the command line's text."""
    from delineate.data.core.stacks import parse_spacing

    return parse_spacing(given) if isinstance(given, str) else given
