"""`delineate data check` at the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from delineate.cli import data


def test_sound_data(make_pairs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(data.app, ["check", str(make_pairs([f"s{number}" for number in range(10)]))])
    assert result.exit_code == 0
    for words in (
        "10 images with masks",
        "all 16×16",
        "values 0 and 255",
        "8 train, 1 val, 1 test",
        "ready to train on",
    ):
        assert words in result.output


def test_faulty_data(make_pairs: Callable[..., Path]) -> None:
    root = make_pairs([f"s{number}" for number in range(10)])
    (root / "masks" / "s3.png").unlink()
    (root / "images" / "s4.png").write_bytes(b"")
    result = CliRunner().invoke(data.app, ["check", str(root)])
    assert result.exit_code == 2
    assert "without mask: s3" in result.output
    assert "→ add their masks" in result.output
    assert "s4.png is empty" in result.output
    assert "ready" not in result.output


def test_the_limit_is_passed_on(make_pairs: Callable[..., Path]) -> None:
    root = make_pairs(["a", "b", "c"])
    result = CliRunner().invoke(data.app, ["check", str(root), "--max-megapixels", "0.0002"])
    assert result.exit_code == 2
    assert "above the limit of 0.0002 megapixels" in result.output
