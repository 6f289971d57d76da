"""Ctrl-C, SIGTERM and a closed terminal become a request that the loop honors at the next step, after saving."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from delineate.common.errors import Interrupted

__all__ = ["StopRequest", "raise_on_signals", "stop_on_signals"]

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
if hasattr(signal, "SIGHUP"):
    _NAMES[signal.SIGHUP] = "SIGHUP (its terminal was closed)"


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
        self.reason = _NAMES[signal.Signals(number)]


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Install the handlers for the block (main thread only; elsewhere the request stays unset)."""
    request = StopRequest()
    with _handled_by(request.receive):
        yield request


@contextmanager
def raise_on_signals(kept: str) -> Iterator[None]:
    """Within the block a signal raises `Interrupted` at once, with what was kept; for work that may be broken off anywhere."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(f"stopped by {_NAMES[signal.Signals(number)]}; {kept}")

    with _handled_by(stop):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Main thread only; elsewhere nothing is handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hangup = getattr(signal, "SIGHUP", None)
    heard = [number for number in _NAMES if number != hangup or signal.getsignal(number) != signal.SIG_IGN]  # nohup
    former = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)
