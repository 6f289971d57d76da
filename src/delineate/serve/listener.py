"""What the engine tells of itself: by default to nobody."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Listener"]


class Listener:
    """Methods are called from several threads, and must not take long."""

    def rejected(self, reason: str) -> None:
        """A request was refused: `queue`, `memory`, `draining`."""

    def computed(self, model: str, waited: Sequence[float], seconds: float) -> None:
        """A batch was computed; how long each of its parts had waited."""
