"""`delineate methods`. All presets of all methods are built to be counted, which takes seconds: once for all tests here."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from delineate.cli import app
from delineate.methods import listing
from delineate.methods.listing import MethodRow, list_methods


@pytest.fixture(scope="module")
def rows() -> list[MethodRow]:
    return list_methods()


def test_table(rows: list[MethodRow]) -> None:
    result = CliRunner().invoke(app, ["methods"], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    for row in rows:
        assert row.name in result.output
        assert str(row.year) in result.output
        assert f"{row.parameters['tiny'] / 1e6:.2f} M" in result.output


def test_json(rows: list[MethodRow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "list_methods", lambda *_: rows)
    result = CliRunner().invoke(app, ["methods", "--json"])
    assert json.loads(result.output) == [json.loads(json.dumps(row.to_json())) for row in rows]
