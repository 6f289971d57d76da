"""The smallest few-shot method."""

from __future__ import annotations

from pathlib import Path

import pytest

from delineate.methods import registry


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register the few-shot method of `few_method.py` for one test; its name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(registry.BUILT_IN, "few", "few_method:Few")
    return "few"
