"""Threads that work stand back for the one that answers.

Where one core has to do both, the system shares it out equally among all threads that want it, and many requests at once would wait
behind decoding and networks even for being refused.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

__all__ = ["stand_back"]

_STEPS = 3
"""Of niceness: half of the share of a thread that has none. More would leave the models too little beside other programs."""


def stand_back() -> None:
    """Lower the priority of the calling thread, and of threads that it starts. Only Linux has one for each thread."""
    if sys.platform == "linux":
        with suppress(OSError):
            own = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + _STEPS)
