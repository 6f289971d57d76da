"""OpenCV's own threads, which are in the way where threads of ours work side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

__all__ = ["single_threaded_opencv"]


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Ours do the work in parallel within the block; OpenCV has one. For the whole process."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
