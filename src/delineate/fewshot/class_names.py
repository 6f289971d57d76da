"""Foreground classes as a user names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable

__all__ = ["first_version_name", "labels_by_name"]


def first_version_name(name: str) -> str:
    """What the first version called a class without a name: "class 3" for "label 3"; other names as they are."""
    return re.sub(r"^label (\d+)$", r"class \1", name)


def labels_by_name(names: Sequence[str], classes: ClassTable, root: Any) -> tuple[int, ...]:
    """Foreground classes given by name or index → their indices, ascending. Raises `DataError` listing what there is."""
    known = {name.lower(): index for index, name in enumerate(classes.names) if index}
    known |= {first_version_name(name): index for name, index in known.items()}
    known |= {str(index): index for index in range(1, len(classes.names))}
    unknown = next((name for name in names if name.strip().lower() not in known), None)
    if unknown is not None:
        there = ", ".join(f"{index} ({name})" for index, name in enumerate(classes.names) if index)
        raise DataError(f"{root} has no foreground class '{unknown}'; there are {there}")
    return tuple(sorted({known[name.strip().lower()] for name in names}))
