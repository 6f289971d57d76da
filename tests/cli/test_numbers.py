"""Numbers on the command line and in the library's verbs are finite."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import delineate
from delineate.cli.root import app
from delineate.common.errors import DelineateError


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
@pytest.mark.parametrize(
    "command",
    [
        "train {d} --method unet --out {d}/r --cache-limit",
        "train {d} --method unet --out {d}/r --max-megapixels",
        "predict {d} {d} --out {d}/m --max-megapixels",
        "data check {d} --max-megapixels",
        "data split {d} --out {d}/s.json --folds 2 --test-fraction",
        "compare {d} {d} --out {d}/c --target",
        "benchmark {d} --out {d}/b --methods unet --budget-minutes",
    ],
)
def test_options_are_finite(command: str, value: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*command.format(d=tmp_path).split(), value])
    if isinstance(result.exception, DelineateError):  # which the command line tells in one line, with exit code 2
        assert f"{command.split()[-1]}: give" in str(result.exception)
    else:
        assert result.exit_code == 2
        assert "Invalid value" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_so_are_those_of_the_library(value: float, tmp_path: Path) -> None:
    with pytest.raises(DelineateError, match="cache_limit"):
        delineate.train(tmp_path, method="unet", out=tmp_path / "r", cache_limit=value)
