"""The literal networks live with the tests, whose oracles they are; benchmarks take them from there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def oracle(name: str) -> ModuleType:
    """The module tests/oracles/`name`.py."""
    path = Path(__file__).parents[1] / "tests" / "oracles" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
