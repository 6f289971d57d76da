"""The how-to's example is a strategy like any other: its files are taken from the page, installed and checked.

`tests/engine/test_processes.py` trains it, on one process and on two.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from delineate.strategies import registry
from delineate.strategies.listing import list_strategies
from delineate.strategies.testing.checks import CHECKS
from package_of_page import installed

NAME = "shape-critic"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files as an installed package."""
    with installed("own-strategy.md", tmp_path_factory.mktemp("own-strategy")) as root:
        registry.forget_other_packages()
        yield root
    registry.forget_other_packages()


@pytest.mark.parametrize("check", CHECKS)
def test_example_keeps_the_contract(package: Path, check: str) -> None:
    CHECKS[check](NAME)


def test_example_is_listed_and_every_file_of_the_page_is_there(package: Path) -> None:
    assert NAME in {row.name for row in list_strategies()}
    assert registry.card(NAME).startswith("# Shape critic")
    assert "CHECKS[check](" in (package / "test_shape_critic.py").read_text()
