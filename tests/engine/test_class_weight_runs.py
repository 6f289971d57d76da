"""Runs whose class weights come from the training masks: what is said and kept, exact resume, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file

from delineate.common.errors import RecipeError
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.inference.predictor import load
from small_volumes import write_slices

Maker = Callable[..., TrainRequest]
RULE = "method.loss.class_weights=inverse_frequency"


class Killed(BaseException):
    """Stands for a kill."""


def test_weights_are_settled_once_from_the_training_masks(request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    settings = [RULE, "engine.save_minutes=0.00001", "engine.validate_every=9"]

    def kill(step: int) -> None:
        if step == 2:
            raise Killed

    noted = recorder()
    train(request_for("whole", settings=settings, steps=4), noted)
    manifest = Manifest.load(tmp_path / "whole" / "manifest.json")
    masks = [cv2.imread(str(manifest.path(case.masks[0])), 0) for case in manifest.split("train")]
    share = np.mean([(mask > 0).mean() for mask in masks])
    weight = float(f"{(1 - share) / share:.4g}")
    assert (
        f"method.loss.class_weights: inverse_frequency of the training masks: background 1, foreground {weight:g}"
        in (noted.notes)
    )
    assert Recipe.load(tmp_path / "whole" / "recipe.yaml").method["loss"]["class_weights"] == [1, weight]
    assert load(tmp_path / "whole", device="cpu").method.options.loss.class_weights == (1, weight)
    record = TrainingRecord.of_run(tmp_path / "whole")
    assert record is not None
    assert record.recipe["method.loss.class_weights"] == "inverse_frequency"

    with pytest.raises(Killed):
        train(request_for(settings=settings, steps=4), recorder(kill))
    other = [setting.replace("inverse", "median") for setting in settings]
    with pytest.raises(RecipeError, match=r"--resume: the recipe differs.*class_weights.*median_frequency"):
        train(request_for(settings=other, steps=4, resume=True))
    train(request_for(settings=settings, steps=4, resume=True))
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "run"))
    assert all(value.equal(resumed[name]) for name, value in whole.items())


def test_a_class_in_no_training_mask_is_named(request_for: Maker, recorder: Any, discs: Path, tmp_path: Path) -> None:
    labels = "0=background,255=disc,7=nucleus"
    noted = recorder()
    settings = ["method.loss.class_weights=log_frequency", "data.sampling=class_balanced"]
    train(request_for(data=DataSource(discs, labels=labels), settings=settings, steps=1), noted)
    assert any(line.startswith("warning: 'nucleus' is in no training mask") for line in noted.notes)
    assert any(line.startswith("warning: 'nucleus' is in no training image: data.sampling") for line in noted.notes)
    first, second, third = Recipe.load(tmp_path / "run" / "recipe.yaml").method["loss"]["class_weights"]
    assert first == 1 < second == third


def test_numbers_that_do_not_fit_are_refused_before_the_start(request_for: Maker, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^method.loss.class_weights: 3 weights given for 2 classes"):
        train(request_for(settings=["method.loss.class_weights=[1, 2, 3]"]))
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_weights_of_regions_count_what_each_holds(request_for: Maker, tmp_path: Path) -> None:
    regions = {"all": ["label 1", "label 2", "label 3"], "inner": ["label 2", "label 3"], "end": ["label 3"]}
    data = write_slices(tmp_path / "slices", patients=5, depth=4)
    train(request_for(data=data, steps=1, settings=[RULE, f"data.regions={json.dumps(regions)}"]))
    weights = Recipe.load(tmp_path / "run" / "recipe.yaml").method["loss"]["class_weights"]
    assert len(weights) == 4
    assert weights == sorted(weights)
