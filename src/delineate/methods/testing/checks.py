"""Checks of the method contract, for any registered method, also of other packages.

    from delineate.methods.testing.checks import check, checks_of

    check("my-method")                              # all; the first that fails raises AssertionError, saying why

    CHECKS = checks_of("my-method")                 # or one test for each

    @pytest.mark.parametrize("name", CHECKS)
    def test_contract(name):
        CHECKS[name]()

All use the preset `tiny` at 64 pixels, on the CPU, and take a minute or less for a small network. The docstring of each check says
what it requires: `testing.declared` and `testing.shared` are for all methods, `testing.dense` and `testing.episodic` for one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from delineate.methods import registry
from delineate.methods.testing import dense, episodic

__all__ = ["CHECKS", "check", "checks_of"]

CHECKS = {"dense": dense.CHECKS, "episodic": episodic.CHECKS}
"""Kind of method → name of the check → the check, which takes the method's name."""


def check(name: str) -> None:
    """Run all checks on a method.

    Args:
        name: Under which the method is registered; its entry point must be installed.

    Raises:
        AssertionError: A check failed; the message says why.
        RecipeError: No method has this name.

    Example:
        ```python
        from delineate.methods.testing.checks import check

        check("my-method")
        ```
    """
    for run in checks_of(name).values():
        run()


def checks_of(name: str) -> dict[str, Callable[[], None]]:
    """The checks for a method's kind.

    Args:
        name: Under which the method is registered.

    Returns:
        Name of the check → a function without arguments that raises `AssertionError` where the check fails.

    Raises:
        RecipeError: No method has this name.

    Example:
        >>> from delineate.methods.testing.checks import checks_of
        >>> checks = checks_of("unet")
        >>> checks["facts"]()
    """
    checks = CHECKS[registry.method_class(name).kind]
    return {title: partial(run, name) for title, run in checks.items()}
