"""Where tables are printed to."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.table import Table

from delineate.cli.console import make_console
from delineate.cli.show import print_run
from delineate.engine.run import RunResult


def test_a_file_gets_whole_figures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    table = Table(*(f"column {number}" for number in range(12)))
    table.add_row(*(f"0.123 [{number:03d}]" for number in range(12)))
    make_console().print(table)
    printed = capsys.readouterr().out
    assert all(f"0.123 [{number:03d}]" in printed for number in range(12))


def test_only_the_first_process_tells_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for first in (False, True):
        print_run(RunResult(tmp_path, tmp_path / "model.safetensors", 0.5, 1.0, first_process=first))
        assert capsys.readouterr().out.count("report:") == int(first)
