"""Ctrl-C and SIGTERM become a request that the loop honours at the next step, after saving."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class StopRequest:
    """Set by a signal; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __call__(self) -> str | None:
        return self.reason

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Signal handler."""
        if self.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.reason = NAMES[signal.Signals(number)]


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Install the handlers for the block (main thread only; elsewhere the request stays unset)."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    former = {number: signal.signal(number, request.receive) for number in NAMES}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
