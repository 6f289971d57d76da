"""What every method must keep, as checks that run on any registered one, also on those of other packages.

    from delineate.methods.testing.checks import check, checks_of

    check("my-method")                              # all; the first broken promise raises AssertionError, saying which

    CHECKS = checks_of("my-method")                 # or one test of each

    @pytest.mark.parametrize("name", CHECKS)
    def test_promise(name):
        CHECKS[name]()

All work on the preset `tiny` at 64 pixels, on the CPU, in a minute or less for a small network. What they ask stands in their
docstrings: in `testing.declared` and `testing.shared` what is asked of all methods, in `testing.dense` and `testing.episodic` what
is asked of one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from delineate.methods import registry
from delineate.methods.testing import dense, episodic

CHECKS = {"dense": dense.CHECKS, "episodic": episodic.CHECKS}
"""Kind of method → name of a check → the check, which is given the method's name."""


def check(name: str) -> None:
    """Run all checks on a method.

    Args:
        name: under which the method is registered; its entry point must be installed.

    Raises:
        AssertionError: a promise is broken; the message says which.
        RecipeError: no method has this name.
    """
    for run in checks_of(name).values():
        run()


def checks_of(name: str) -> dict[str, Callable[[], None]]:
    """The checks for a method's kind, ready to be called, by name.

    Args:
        name: under which the method is registered.

    Raises:
        RecipeError: no method has this name.
    """
    checks = CHECKS[registry.method_class(name).kind]
    return {title: partial(run, name) for title, run in checks.items()}
