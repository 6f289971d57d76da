"""What every strategy must keep, as checks that run on any of them.

A strategy's author calls `check("name")`, or makes one test of each entry of `CHECKS`. All train an example method of two
convolutions at 32 pixels, on the CPU, in seconds. A broken promise raises `AssertionError`, saying which.
"""

from __future__ import annotations

from collections.abc import Callable

from delineate.strategies.testing.declared import DECLARED
from delineate.strategies.testing.steps import STEPS

CHECKS: dict[str, Callable[[str], None]] = {run.__name__: run for run in (*DECLARED, *STEPS)}
"""Name → check. Each takes the name of a registered strategy and raises `AssertionError` where it breaks a promise."""


def check(name: str) -> None:
    """Run all checks on the strategy registered as `name`; the first broken promise raises `AssertionError`."""
    for run in CHECKS.values():
        run(name)
