"""Progress as lines, where no terminal shows a bar: now and then a share and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST, EVERY = 10.0, 60.0
"""Seconds until the first line, and between two: quick work says nothing, long work does not fill a log."""


class Pace:
    """Watches work of which the total is known, and says now and then how far it is."""

    def __init__(self, what: str, *, done: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """`done`: what was done before, by a run that goes on."""
        self._what, self._begun, self._clock = what, done, clock
        self._start = clock()
        self._due = self._start + FIRST

    def line(self, done: int, total: int, more: str = "") -> str | None:
        """A line when one is due, else None: "train: 120 of 1000 (12 %), about 3 min left"."""
        now = self._clock()
        if now < self._due or not 0 < done < total:
            return None
        self._due = now + EVERY
        text = f"{self._what}: {done} of {total} ({100 * done // total} %){f', {more}' if more else ''}"
        fresh = done - self._begun
        return f"{text}, about {_words((now - self._start) / fresh * (total - done))} left" if fresh > 0 else text


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
