"""Numbers that are not finite (NaN, infinity), found deep in nested content."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["first_not_finite"]


def first_not_finite(content: Any, name: str = "") -> str | None:
    """The dotted key of the first number that is not finite; None where there is none. Items of lists count as their list."""
    if isinstance(content, float):
        return None if math.isfinite(content) else name or "value"
    if isinstance(content, Mapping):
        inside = ((f"{name}.{key}" if name else str(key), value) for key, value in content.items())
    elif isinstance(content, list | tuple | set | frozenset):
        inside = ((name, value) for value in content)
    else:
        return None
    return next((found for key, value in inside if (found := first_not_finite(value, key)) is not None), None)
