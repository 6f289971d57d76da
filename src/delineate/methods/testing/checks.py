"""What every method must keep, as checks that run on any of them.

A method's author calls `check("name")`, or makes one test of each entry of `CHECKS` (for a few-shot method those of
`episodic_checks`). All work on the preset `tiny` at 64 pixels, on the CPU. A broken promise raises `AssertionError`, saying
which. Promises of all methods are in `declared_checks` and `shared_checks`, those of one task in `dense_checks` and
`episodic_checks`.
"""

from __future__ import annotations

from collections.abc import Callable

from delineate.methods import registry
from delineate.methods.testing import dense as dense_checks
from delineate.methods.testing import episodic as episodic_checks

CHECKS = dense_checks.CHECKS


def check(name: str) -> None:
    """Run all checks of its task on the method registered as `name`; the first broken promise raises `AssertionError`."""
    for run in checks_of(name).values():
        run(name)


def checks_of(name: str) -> dict[str, Callable[[str], None]]:
    """The checks for the task of the method registered as `name`."""
    return {"dense": dense_checks, "episodic": episodic_checks}[registry.method_class(name).kind].CHECKS
