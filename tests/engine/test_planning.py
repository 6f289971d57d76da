"""A run that is planned from the data: what is stated holds, what was decided is written, and resuming changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from delineate.common.errors import RecipeError
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from train_request import train_request

Maker = Callable[..., TrainRequest]


class Killed(BaseException):
    """Stands for a kill: nothing of the program gets a say."""


def kill(step: int) -> None:
    if step == 2:
        raise Killed


@pytest.fixture
def planned(discs: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """A maker of requests for short runs of ResEnc, planned within very little arithmetic."""
    cache = tmp_path_factory.getbasetemp() / "cache"

    def make(name: str = "run", *, settings: tuple[str, ...] = (), **changes: Any) -> TrainRequest:
        values = {"method": "resenc", "preset": "planned-tiny", "steps": 4, "device": "cpu"} | changes
        limits = ("plan.gflops=0.05", "engine.save_minutes=0.00001")
        return train_request(
            data=discs, out=tmp_path / name, settings=(*limits, *settings), cache_folder=cache, **values
        )

    return make


def test_the_plan_is_in_the_recipe_and_readable(planned: Maker, recorder: Any) -> None:
    note = recorder()
    train(planned(), note)
    out = planned().out
    recipe, plan = Recipe.load(out / "recipe.yaml"), json.loads((out / "plan.json").read_text())
    assert recipe.input.size == (48, 40)
    assert recipe.input.channels == "gray"
    assert recipe.method.keys() == {"widths", "blocks", "mean", "std"}
    assert plan["recipe"]["method"] == recipe.method
    assert plan["recipe"]["engine"]["batch_size"] == recipe.engine.batch_size == 2
    assert plan["fingerprint"]["median_size"] == [48, 40]
    words = (out / "plan.md").read_text()
    assert all(decision["why"] in words for decision in plan["decisions"])
    assert any("planned from the data" in line and "size 48, 40" in line for line in note.notes)


def test_what_the_user_states_holds(planned: Maker, recorder: Any) -> None:
    request = planned(size=32, settings=("method.widths=[4, 8, 8]", "engine.batch_size=3"))
    train(request, recorder())
    recipe, plan = Recipe.load(request.out / "recipe.yaml"), json.loads((request.out / "plan.json").read_text())
    assert recipe.input.size == (32, 32)
    assert recipe.method["widths"] == [4, 8, 8]
    assert recipe.engine.batch_size == 3
    assert len(recipe.method["blocks"]) == 3
    assert not {"input.size", "method.widths", "engine.batch_size"} & {each["key"] for each in plan["decisions"]}


def test_a_planned_run_resumes_to_the_same_bits(planned: Maker, recorder: Any) -> None:
    train(planned("whole"), recorder())
    with pytest.raises(Killed):
        train(planned("killed"), recorder(kill))
    train(planned("killed", resume=True), recorder())
    whole, killed = (load_file(planned(name).out / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all(torch.equal(value, killed[key]) for key, value in whole.items())


def test_resuming_under_other_limits_is_refused(planned: Maker, recorder: Any) -> None:
    with pytest.raises(Killed):
        train(planned(), recorder(kill))
    with pytest.raises(RecipeError, match=r"plan\.memory_gib: 2.0 → 1.0"):
        train(planned(resume=True, settings=("plan.memory_gib=1",)), recorder())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "unet", "preset": "tiny", "settings": ("plan.from_data=true",)}, "'unet' does not plan"),
        ({"settings": ("plan.gflops=1e-6",)}, "no form of resenc fits"),
        ({"settings": ("plan.memory=3",)}, "did you mean 'memory_gib'"),
    ],
)
def test_plans_that_cannot_be_made_write_nothing(
    changes: dict[str, Any], words: str, planned: Maker, recorder: Any
) -> None:
    request = planned(**changes)
    with pytest.raises(RecipeError, match=words):
        train(request, recorder())
    assert not request.out.exists()
