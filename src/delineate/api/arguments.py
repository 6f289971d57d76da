"""What several verbs are given, as the rooms take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["path", "spacing"]


def path(given: Path | str | None) -> Path | None:
    """Text or a path."""
    return None if given is None else Path(given)


def spacing(given: str | Sequence[float] | None) -> Sequence[float] | None:
    """Millimeters as numbers, or as the command line's text."""
    from delineate.data.core.stacks import parse_spacing

    return parse_spacing(given) if isinstance(given, str) else given
