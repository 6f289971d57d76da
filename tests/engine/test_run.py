"""A whole run on small images: what it leaves behind, and how it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from delineate.common.errors import ArtefactError, DataError, DelineateError, DeviceError, RecipeError, TrainingError
from delineate.data.core.manifest import Manifest
from delineate.engine import memory
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.predictor import load

Maker = Callable[..., TrainRequest]


def test_a_run_leaves_all_that_is_promised(request_for: Maker, recorder: Any) -> None:
    request = request_for(steps=16)
    result = train(request, recorder())
    run = request.out
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert Recipe.load(run / "recipe.yaml").input.channels == "gray"
    assert not (run / "steps").exists()
    manifest = Manifest.load(run / "manifest.json")
    assert [len(manifest.split(name)) for name in ("train", "val", "test")] == [16, 2, 2]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12, 16]
    for line in lines:
        terms = line["loss"]
        assert terms["total"] == pytest.approx(sum(value for name, value in terms.items() if name != "total"))
    scores = json.loads((run / "validation" / "scores.json").read_text())
    dice = scores["macro"]["dice"]["all"]
    assert (dice["mean"], dice["n"]) == (pytest.approx(result.dice), 2)
    assert load(run, device="cpu").artefact.scores["macro"] == scores["macro"]


def test_the_model_file_alone_makes_the_same_masks(request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    train(request_for(steps=8), recorder())
    run = request_for().out
    alone = tmp_path / "moved.safetensors"
    (run / "model.safetensors").rename(alone)
    model = load(alone, device="cpu")
    manifest = Manifest.load(run / "manifest.json")
    for case in manifest.split("val"):
        saved = cv2.imread(str(run / "validation" / "masks" / f"{case.id}.png"), cv2.IMREAD_UNCHANGED)
        predicted = model.predict(manifest.path(case.images[0]))
        assert saved.shape == (48, 40)
        assert np.array_equal(saved > 0, predicted > 0)


def test_early_stopping(request_for: Maker, recorder: Any) -> None:
    watching = recorder()
    train(request_for(steps=80, settings=["engine.lr=1e-12", "engine.early_stop=2"]), watching)
    assert watching.steps < 80
    assert any("stopping early" in note for note in watching.notes)


def test_a_loss_that_is_not_finite_stops_with_the_samples(request_for: Maker, recorder: Any) -> None:
    settings = ["engine.optimizer=sgd", "engine.schedule=constant", "engine.lr=1e30"]
    with pytest.raises(TrainingError, match=r"not finite at step \d+ of stage 'train'.*case\d\d, case\d\d"):
        train(request_for(settings=settings), recorder())


def test_fine_tuning_says_what_was_taken_over(request_for: Maker, recorder: Any) -> None:
    train(request_for("first", steps=4), recorder())
    watching = recorder()
    train(request_for("second", steps=1, init=request_for("first").out, settings=["engine.lr=1e-30"]), watching)
    assert any("taken over: encoder (" in note for note in watching.notes)
    first, second = (load(request_for(name).out, device="cpu").method.state_dict() for name in ("first", "second"))
    assert torch.equal(first["head.weight"], second["head.weight"])


def test_init_from_what_fits_nowhere(request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    pickle = tmp_path / "old.pt"
    torch.save({"a": torch.zeros(1)}, pickle)
    with pytest.raises(ArtefactError, match="delineate import"):
        train(request_for(init=pickle), recorder())
    assert not request_for().out.exists()


def test_an_output_folder_with_something_in_it_is_left_alone(request_for: Maker, recorder: Any) -> None:
    out = request_for().out
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="not empty"):
        train(request_for(), recorder())
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_another_run_is_not_overwritten(request_for: Maker, recorder: Any) -> None:
    train(request_for(steps=2), recorder())
    before = (request_for().out / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="already holds a run"):
        train(request_for(steps=2), recorder())
    assert (request_for().out / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"settings": ["engine.precision=16"]}, RecipeError, "needs a GPU"),
        ({"settings": ["engine.lr_scale={encodr: 0.1}"]}, RecipeError, "did you mean 'encoder'"),
        ({"settings": ["method.up=cubic"]}, RecipeError, "nearest"),
        ({"size": 16}, RecipeError, "at least 32"),
        ({"method": "unett"}, RecipeError, "did you mean 'unet'"),
        ({"device": "tpu"}, DelineateError, "device"),
        ({"cache_limit_bytes": 10}, DataError, "--cache-limit"),
        ({"max_pixels": 100}, DataError, "pixel"),
        ({"settings": ["method.encoder.pretrained=/nowhere/w.safetensors"]}, DelineateError, "does not exist"),
    ],
)
def test_refusals_write_nothing(
    changes: dict[str, Any], error: type[Exception], words: str, request_for: Maker, recorder: Any
) -> None:
    with pytest.raises(error, match=words):
        train(request_for(**changes), recorder())
    assert not request_for().out.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_absent(request_for: Maker, recorder: Any) -> None:
    with pytest.raises(DeviceError, match="cuda is not available"):
        train(request_for(device="cuda"), recorder())


def test_memory_that_surely_does_not_suffice(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 2**20)
    with pytest.raises(
        DeviceError, match=r"batch 4 at 32×32 needs at least [\d.]+ GiB.*one or more of --set engine.activation"
    ):
        train(request_for(), recorder())
    assert not request_for().out.exists()
    train(request_for(steps=1, settings=["engine.memory_check=false"]), recorder())


def test_training_memory_grows_with_the_batch() -> None:
    from delineate.methods.registry import build

    def of(batch: int) -> int:
        return memory.training_bytes(lambda: build("unet", options={"encoder": {"name": "resnet10t"}}), batch, (64, 64))

    weights = sum(p.numel() * 4 for p in build("unet", options={"encoder": {"name": "resnet10t"}}).parameters())
    assert of(8) - of(4) == 2 * (of(4) - of(2))
    assert of(1) > 4 * weights


def test_recomputation_gives_the_same_first_loss(request_for: Maker, recorder: Any) -> None:
    settings = ["engine.lr=1e-12", "engine.optimizer=sgd"]
    losses = []
    for name, extra in (("plain", []), ("recomputed", ["engine.activation_checkpointing=true"])):
        train(request_for(name, steps=4, settings=[*settings, *extra]), recorder())
        line = json.loads((request_for(name).out / "metrics.jsonl").read_text().splitlines()[0])
        losses.append(line["loss"]["total"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_tensorboard_hint(request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from delineate.engine import tensorboard

    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=re.escape("pip install tensorboard")):
        train(request_for(settings=["engine.tensorboard=true"]), recorder())
