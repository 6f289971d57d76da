"""Runs and models of earlier versions (`make_old_runs.py` made them): they go on to the same end, and answer the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from make_old_runs import ENDS, FOLDER, RUNS, answer
from small_trainings import SAME_ROUNDING, record, unlike

import delineate
from delineate.common.errors import DelineateError

GOLDEN = json.loads(ENDS.read_text(encoding="utf-8"))
MODELS = sorted(FOLDER.glob("*.safetensors"))


@SAME_ROUNDING
@pytest.mark.parametrize("name", GOLDEN)
def test_a_run_goes_on_to_the_end_that_it_had(name: str, tmp_path: Path) -> None:
    """With its data at another place, and on another machine than it was begun on."""
    shutil.unpack_archive(FOLDER / f"{name}.zip", tmp_path / "run")
    end = {key: value for key, value in GOLDEN[name].items() if key != "answer"}
    assert not list(unlike(end, record(RUNS[name][0].run(tmp_path, resume=True))))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_answers_as_it_did(path: Path) -> None:
    assert np.abs(answer(delineate.load(path, "cpu")) - GOLDEN[path.stem]["answer"]).max() < 1e-3


def test_a_recipe_that_no_version_wrote_is_refused_in_a_line(tmp_path: Path) -> None:
    shutil.unpack_archive(FOLDER / "ema.zip", tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("  clip_norm:", "  clip_value:"), encoding="utf-8")
    with pytest.raises(DelineateError, match=r"^\S*recipe\.yaml: .*engine\.clip_value") as told:
        RUNS["ema"][0].run(tmp_path, resume=True)
    assert "\n" not in str(told.value)
