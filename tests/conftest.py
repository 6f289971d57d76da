"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os

# One thread a process: several test processes that each take all cores hold each other up at every barrier.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from delineate.methods import registry


@pytest.fixture
def micro(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register the micro method of `micro_method.py` for one test; its name."""
    monkeypatch.setitem(registry.BUILT_IN, "micro", "micro_method:Micro")
    return "micro"
