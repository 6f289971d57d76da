"""What the cards of methods say of defaults is what the code has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from delineate.methods import registry
from delineate.methods.built_in import BUILT_IN
from generator.tables import plain

ROW = re.compile(r"^\| (?:[^|`]*, )?`([\w.]+)` \| `([^`|]+)`", re.MULTILINE)
"""A row of a table of options: the only option in its first cell, and the default that begins its second one."""


def told() -> Iterator[tuple[str, str, str]]:
    """(method, option, default) as the cards have it."""
    for name in BUILT_IN:
        for option, default in ROW.findall(registry.card(name)):
            yield name, option, default


def default_of(options: type[BaseModel], key: str) -> Any:
    """As it is written: a method that is built settles some (`auto`)."""
    first, *rest = key.split(".")
    value: Any = options.model_fields[first].get_default(call_default_factory=True)
    for part in rest:
        value = getattr(value, part)
    return value


def test_rows_are_found() -> None:
    assert len(list(told())) > 30


@pytest.mark.parametrize(("method", "option", "default"), list(told()))
def test_a_default_is_that_of_the_code(method: str, option: str, default: str) -> None:
    assert plain(default_of(registry.method_class(method).Options, option)) == default
