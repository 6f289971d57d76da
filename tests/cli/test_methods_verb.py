"""`delineate methods`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from delineate.cli import app
from delineate.methods.listing import list_methods


def test_table():
    result = CliRunner().invoke(app, ["methods"], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    for row in list_methods():
        assert row.name in result.output
        assert str(row.year) in result.output
        assert f"{row.parameters['tiny'] / 1e6:.2f} M" in result.output


def test_json():
    result = CliRunner().invoke(app, ["methods", "--json"])
    assert json.loads(result.output) == [json.loads(json.dumps(row.to_json())) for row in list_methods()]
