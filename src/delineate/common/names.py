"""Lists of names, and suggestions for misspelled ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = ["did_you_mean", "listed"]


def listed(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names given one by one or as a text with commas; blanks around them and empty ones are left out."""
    given = names.split(",") if isinstance(names, str) else names or ()
    return tuple(name.strip() for name in given if name.strip())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Text to append to an error: the nearest known name, or the list of what there is."""
    choices = sorted(known)
    near = get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(choices)}" if choices else "none are known"
