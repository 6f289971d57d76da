"""`delineate strategies`, and `train --strategy`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from delineate.cli import app
from delineate.common.errors import RecipeError
from delineate.engine.typo_checks import refuse_typos
from delineate.strategies import registry
from delineate.strategies.listing import list_strategies


def shown(*words: str) -> str:
    result = CliRunner().invoke(app, ["strategies", *words], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_table() -> None:
    table = shown()
    for row in list_strategies():
        assert row.name in table
        assert str(row.year) in table


def test_json() -> None:
    rows = [json.loads(json.dumps(row.to_json())) for row in list_strategies()]
    assert json.loads(shown("--json")) == rows
    assert json.loads(shown("supervised", "--json")) == [row for row in rows if row["name"] == "supervised"]


def test_card() -> None:
    assert shown("mean-teacher").strip() == registry.card("mean-teacher").strip()
    result = CliRunner().invoke(app, ["strategies", "mean-techer"])
    assert isinstance(result.exception, RecipeError)
    assert "did you mean 'mean-teacher'" in str(result.exception)


@pytest.mark.parametrize(
    ("settings", "strategy", "line"),
    [
        ([], "supervized", "unknown strategy 'supervized': did you mean 'supervised'"),
        (["strategy.name=mean-teachr"], None, "unknown strategy 'mean-teachr': did you mean 'mean-teacher'"),
        (
            ["strategy.wieght=1"],
            "mean-teacher",
            "strategy 'mean-teacher': unknown option 'wieght': did you mean 'weight'",
        ),
        (["strategy.name=mean-teacher", "strategy.emma=.9"], None, "unknown option 'emma': did you mean 'ema'"),
    ],
)
def test_typos_are_refused_before_anything_is_loaded(settings: list[str], strategy: str | None, line: str) -> None:
    with pytest.raises(RecipeError, match=line):
        refuse_typos("unet", "tiny", settings, strategy)


def test_what_is_right_passes() -> None:
    refuse_typos("unet", "tiny", ["strategy.ema=0.9", "strategy.weight=1"], "mean-teacher")
    refuse_typos("unet", "tiny", ["stages.train.strategy.ema=0.9", "strategy.ema=0.9"])
