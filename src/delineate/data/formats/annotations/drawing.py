"""What a file of outlines says of one picture."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from delineate.data.formats.annotations.outlines import Mark, Size

__all__ = ["LARGEST", "Drawing"]

LARGEST = 65535
"""The highest value of a mask."""


@dataclass(frozen=True)
class Drawing:
    """The marks on one picture, the lowest first."""

    size: Size
    marks: Sequence[Mark]

    def digest(self) -> str:
        """SHA-256 of size, values and shapes: it changes with the marks of this picture, not with others in the same file."""
        found = hashlib.sha256(np.array(self.size, np.int64).tobytes())
        for mark in self.marks:
            found.update(np.array([mark.value, len(mark.segments)], np.int64).tobytes())
            for segment in mark.segments:
                found.update(segment.content())
        return found.hexdigest()
