"""What the engine keeps for one model."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from delineate.serve.work import Ready

__all__ = ["Lane"]

_WEIGHT = 0.1
"""Of the newest interval in the moving average."""
_LONGEST = 120
"""Seconds that a client is told to wait at most."""


@dataclass
class Lane:
    """The queue of one model. The engine guards it by its lock."""

    name: str
    device: str = "cpu"
    """On whose thread it is computed."""
    batch: int = 1
    """Parts in one forward pass."""
    queue: int = 64
    memory: int = 2 << 30
    accepted: int = 0
    """Requests that are not answered."""
    held: int = 0
    """Bytes that were taken."""
    feeding: int = 0
    """Requests of which parts are being read just now: a batch waits a moment for them."""
    ready: dict[Hashable, deque[Ready]] = field(default_factory=dict)
    """Parts that wait, by what can be in one batch."""
    _interval: float = 0.1
    """Seconds from one answer to the next while there is work: a moving average."""
    _last: float | None = None

    def finished(self, now: float) -> None:
        """A request was answered; called after `accepted` was lowered."""
        if self._last is not None:
            self._interval += _WEIGHT * (min(now - self._last, _LONGEST) - self._interval)
        self._last = now if self.accepted else None  # a pause without work is no interval

    def seconds_for(self, requests: int) -> int:
        """When half of so many requests should be done: there is room then for those who come back."""
        return max(1, min(_LONGEST, math.ceil(self._interval * requests / 2)))

    def shrink(self) -> None:
        """The device's memory did not suffice for a batch."""
        self.batch = max(1, self.batch // 2)
