"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import pytest

from delineate.methods import registry


@pytest.fixture
def micro(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register the micro method of `micro_method.py` for one test; its name."""
    monkeypatch.setitem(registry.BUILT_IN, "micro", "micro_method:Micro")
    return "micro"
