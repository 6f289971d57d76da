"""Numbers that are not finite: found wherever they hide, and never written as JSON."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import delineate
from delineate.common.files import write_json
from delineate.common.not_finite import first_not_finite

SOURCE = Path(delineate.__file__).parent
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))
nested = st.recursive(
    leaves, lambda of: st.one_of(st.lists(of, max_size=3), st.dictionaries(st.text(max_size=3), of, max_size=3))
)


@given(nested)
def test_what_is_found_is_what_json_has_no_number_for(content: Any) -> None:
    try:
        json.dumps(content, allow_nan=False)
        writable = True
    except ValueError:
        writable = False
    assert (first_not_finite(content) is None) == writable


def test_the_place_is_named() -> None:
    assert first_not_finite({"a": {"b": [1.0, {"c": math.nan}]}}) == "a.b.c"
    assert first_not_finite({"a": (1.0, math.inf)}) == "a"
    assert first_not_finite(math.nan) == "value"


def test_such_a_file_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scores\.dice is not finite"):
        write_json(tmp_path / "a.json", {"scores": {"dice": math.nan}})
    assert not list(tmp_path.iterdir())


def test_no_writer_of_json_lets_them_through() -> None:
    loose = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dumps", "json.dump"):
                strict = {ast.unparse(word) for word in node.keywords}
                if "allow_nan=False" not in strict:
                    loose.append(f"{path.name}:{node.lineno}")
    assert loose == []
