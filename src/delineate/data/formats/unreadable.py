"""The fault of a file that is sound, but of a kind that cannot be read."""

from __future__ import annotations

__all__ = ["UnreadableError"]


class UnreadableError(Exception):
    """The text goes on after the file's name: `is a TIFF of …`."""
