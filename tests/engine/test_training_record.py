"""A run tells how it was trained: in its model, with its masks and with their scores; and its references by their content."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from delineate.common.errors import DataError
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.evaluation.comparison.compare import compare_models
from delineate.evaluation.comparison.models import open_models
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.inference.files import predict_files
from delineate.inference.predictor import load


def test_what_a_run_was_goes_with_its_masks_and_scores(
    request_for: Callable[..., TrainRequest], recorder: Any, tmp_path: Path
) -> None:
    runs: list[Path] = []
    for name, seed, settings in (("a", 0, []), ("b", 1, []), ("c", 0, ["engine.lr=1e-5"])):
        request = request_for(name, steps=8, seed=seed, settings=settings)
        train(replace(request, data=runs[0] / "manifest.json" if runs else request.data), recorder())
        runs.append(request.out)
    told = TrainingRecord.of_run(runs[0])
    assert told is not None
    assert (told.steps, told.size, told.preset, told.data_name) == (8, (32, 32), "tiny", request_for().data.name)
    assert told.images_seen == 32
    assert "engine.seed" not in told.recipe
    scores = []
    for run in runs:
        predict_files(load(run, "cpu"), [run / "manifest.json"], tmp_path / f"masks-{run.name}", split="val")
        out = tmp_path / f"scores-{run.name}"
        made = evaluate_folders(
            tmp_path / f"masks-{run.name}", run / "manifest.json", EvaluationOptions(split="val"), out=out
        )
        assert made.origin.references_sha256 == ScoresFile.read(run / "validation").origin.references_sha256
        scores.append(str(out))
    for given in (list(map(str, runs)), scores):
        assert list(compare_models(open_models(given)).seeds.values()) == [2, 1]
    moved = tmp_path / "moved"
    shutil.move(runs[0], moved)
    assert open_models(scores)[0].training == told, "the scores know it, wherever the run is"
    (moved / "validation" / "scores.json").write_text(
        (moved / "validation" / "scores.json").read_text().replace('"references_sha256": "', '"references_sha256": "0')
    )
    with pytest.raises(DataError, match="the reference masks have different content"):
        open_models([str(moved), str(runs[1])])


FIRST = {
    "augment": "blur blur_sigma border brightness color contrast dropout dropout_holes dropout_size elastic elastic_alpha "
    "elastic_sigma flip_horizontal flip_vertical gamma gamma_range gray hue noise noise_std rotate saturation scale shear shift "
    "warp",
    "data": "foreground labeled_share patches_per_image workers",
    "engine": "accumulate activation_checkpointing batch_size channels_last clip_norm device devices early_stop epochs lr "
    "memory_check momentum optimizer plateau_factor plateau_patience poly_power precision save_minutes schedule seed step_every "
    "step_factor steps tensorboard validate_every warmup weight_decay",
    "episodes": "augment exclude exclude_rule kind least least_labeled region_size regions shots stack supervoxel_size validation",
    "input": "channels fit intensity scale size",
    "plan": "from_data gflops longest_side memory_gib",
}
"""Settings of the first recipes that were compared, under the names of today."""


def test_seeds_from_before_a_setting_are_seeds_of_the_same_training(tmp_path: Path) -> None:
    """A setting that is not in `FIRST` has its default where a recipe does not know it."""
    today = Recipe(name="unet").model_dump(mode="json")
    earlier = {
        section: {key: value for key, value in today[section].items() if key in known.split()}
        for section, known in FIRST.items()
    }
    records = []
    for name, content in (("today", today), ("earlier", {"name": "unet", "method": {}, **earlier})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(yaml.safe_dump(content))
        records.append(TrainingRecord.of_run(tmp_path / name))
    assert records[0] is not None
    assert records[1] is not None
    assert records[0].recipe == records[1].recipe, (
        "new settings belong into the table of later ones, with their defaults"
    )
