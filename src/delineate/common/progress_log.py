"""Progress as lines, where no terminal shows a bar: from time to time the share that is done and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["EVERY", "FIRST", "ProgressLog", "in_words"]

FIRST, EVERY = 10.0, 60.0
"""Seconds until the first line, and between two: quick work says nothing, long work does not fill a log."""


class ProgressLog:
    """Watches work whose total is known, and says from time to time how far it is.

    The time left is reckoned from the second item on: the first one takes longer, since a device and a network warm up with it.
    """

    def __init__(self, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._due = clock() + FIRST
        self._warm: tuple[float, int] | None = None
        """When the first item was done, and how many were done then."""

    def line(self, done: int, total: int, more: str = "") -> str | None:
        """A line when one is due, else None: "train: 120 of 1000 (12 %), about 3 min left"."""
        now = self._clock()
        if self._warm is None:
            self._warm = now, done
        if now < self._due or not 0 < done < total:
            return None
        self._due = now + EVERY
        text = f"{self._what}: {done} of {total} ({100 * done // total} %){f', {more}' if more else ''}"
        since, before = self._warm
        if done == before:
            return text
        return f"{text}, about {in_words((now - since) / (done - before) * (total - done))} left"


def in_words(seconds: float) -> str:
    """A time as people say it: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
