"""Checks of the strategy contract, for any registered strategy, also of other packages.

A strategy's author calls `check("name")`, or makes one test for each entry of `CHECKS`. All train an example method of two
convolutions at 32 pixels, on the CPU, in seconds. A check that fails raises `AssertionError`, which says why.
"""

from __future__ import annotations

from collections.abc import Callable

from delineate.strategies.testing.declared import DECLARED
from delineate.strategies.testing.steps import STEPS

__all__ = ["CHECKS", "check"]

CHECKS: dict[str, Callable[[str], None]] = {run.__name__: run for run in (*DECLARED, *STEPS)}
"""Name of the check → the check, which takes the name of a registered strategy and raises `AssertionError` where it fails."""


def check(name: str) -> None:
    """Run all checks on a strategy.

    Args:
        name: Under which the strategy is registered; its entry point must be installed.

    Raises:
        AssertionError: A check failed; the message says why.
        RecipeError: No strategy has this name.

    Example:
        ```python
        from delineate.strategies.testing.checks import check

        check("my-strategy")
        ```
    """
    for run in CHECKS.values():
        run(name)
