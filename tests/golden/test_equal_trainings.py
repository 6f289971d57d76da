"""Training gives what it gave: losses of each step, validation and weights of small trainings, as commit ff5483e made them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_equal_trainings import FILE
from small_trainings import SAME_ROUNDING, TRAININGS, record, unlike

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


@SAME_ROUNDING
@pytest.mark.parametrize("name", GOLDEN)
def test_training_gives_what_it_gave(name: str, tmp_path: Path) -> None:
    assert not list(unlike(GOLDEN[name], record(TRAININGS[name].run(tmp_path))))
