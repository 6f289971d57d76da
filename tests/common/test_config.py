"""Nested settings: laid on each other; their first fault in one line."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from delineate.common.config import explain, first_fault, merge


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = 3
    depth: int = 3

    @model_validator(mode="after")
    def _square(self) -> Inner:
        if self.depth > self.width:
            raise ValueError("depth is at most width")
        return self


class Outer(BaseModel):
    inner: Inner = Inner()
    rows: dict[str, Inner] = {}


def fault(content: Any) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate(content)
    return raised.value


def test_the_later_layer_wins_key_by_key() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge(base, {"a": {"c": 4}, "d": {"e": 5}}) == {"a": {"b": 1, "c": 4}, "d": {"e": 5}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"inner": {"widht": 4}}, "recipe: unknown option 'inner.widht': did you mean 'width'?"),
        ({"rows": {"x": {"depht": 4}}}, "recipe: unknown option 'rows.x.depht': did you mean 'depth'?"),
        ({"inner": {"width": "x"}}, "recipe: inner.width: Input should be a valid integer.*(given: 'x')"),
        ({"inner": {"depth": 9}}, "recipe: inner: depth is at most width"),
    ],
)
def test_a_users_fault_names_key_reason_and_value(content: Any, words: str) -> None:
    start, _, end = words.partition(".*")
    said = explain(fault(content), Outer, "recipe")
    assert said.startswith(start)
    assert said.endswith(end), "a whole section is too much for a line"


def test_a_damaged_files_fault_names_its_place() -> None:
    assert first_fault(fault({"inner": {"depth": 9}})) == "inner: depth is at most width"
    assert first_fault(fault([])).startswith("Input should be a valid dictionary"), "the whole has no place"
    assert first_fault(ValueError("no JSON")) == "no JSON"
