"""The window of CT: planned from training volumes, kept as numbers, the same in training, prediction and the torch twin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from delineate.common.errors import RecipeError
from delineate.data.cases.census import Census
from delineate.data.cases.volumes import as_numbers
from delineate.data.core.input_spec import InputSpec
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import plane_of
from delineate.data.formats.registry import open_image
from delineate.data.loading.open_data import open_data
from delineate.engine.input_settings import settle_input
from delineate.engine.intensity_plan import plan_intensity
from delineate.engine.recipe import Recipe, differences, resolve
from delineate.engine.reporting import Silent
from delineate.engine.request import settled_like
from delineate.engine.run import train
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.inference.export.preprocess import Preprocess
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from delineate.inference.trained_values import far_from_training
from small_volumes import as_ct, tilt, write_volumes
from train_request import train_request

nibabel = pytest.importorskip("nibabel")
SMALL = ["method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=4"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("window")
    as_ct(tilt(write_volumes(folder / "data", depth=4)))
    return folder


def trained(home: Path, name: str, settings: Sequence[str] = (), **changes: Any) -> tuple[Path, list[str]]:
    said: list[str] = []
    reporter = Silent()
    reporter.note = said.append  # type: ignore[method-assign]
    about: dict[str, Any] = {"method": "unet", "preset": "tiny", "size": 32, "steps": 2, "device": "cpu"} | changes
    request = train_request(
        data=home / "data", out=home / name, settings=[*SMALL, *settings], cache_folder=home / "cache", **about
    )
    train(request, reporter)
    return home / name, said


@pytest.fixture(scope="module")
def planned(home: Path) -> tuple[Path, list[str]]:
    return trained(home, "planned")


def test_the_window_is_told_and_kept_as_numbers(planned: tuple[Path, list[str]]) -> None:
    run, said = planned
    (line,) = (one for one in said if one.startswith("intensity: "))
    assert line == (
        "intensity: values from 71 to 169 → 0…1 (the data name the modality CT, in Hounsfield units; 0.5th to 99.5th percentile of "
        "the labeled voxels of 4 training volumes; if not: --set input.intensity=range takes each volume's percentiles)"
    )
    settled, spec = Recipe.load(run / "recipe.yaml").input, load(run).spec
    assert (settled.intensity, settled.window_level, settled.window_width) == ("window", 120.0, 98.0)
    assert (spec.window_level, spec.window_width) == (120.0, 98.0)
    assert spec.trained_lows == pytest.approx((-1009, -1009), abs=1)
    assert json.loads((run / "run.json").read_text())["planned_input"]["input.intensity"] == "auto"
    record = TrainingRecord.of_run(run)
    assert record is not None
    assert record.recipe["input.window_level"] is None, "folds with other windows are trained in the same way"


def test_training_prediction_and_twin_see_the_same(planned: tuple[Path, list[str]], home: Path) -> None:
    predictor = load(planned[0])
    values = as_numbers(Canonical(open_image(home / "data/images/case_00.nii.gz")), predictor.spec.volume_numbers)
    plane = plane_of(values, 2, 2)
    ours = predictor.prepare(plane)
    twin = Preprocess(predictor.spec, "float32")(torch.from_numpy(plane)[None, None])[0, 0].numpy()
    assert np.allclose(ours[..., 0], twin, atol=1e-5)
    assert {0.0, 1.0} > {float(np.median(ours))}
    spec = predictor.spec.model_copy(update={"size": plane.shape})
    exact = spec.to_unit(spec.working_pixels(plane))[..., 0]
    assert np.allclose(exact, np.clip((plane - 71) / 98, 0, 1), atol=1e-5)


def test_z_scores_over_the_volume_have_a_twin(planned: tuple[Path, list[str]], home: Path) -> None:
    spec = load(planned[0]).spec.model_copy(
        update={"intensity": "zscore", "zscore_over": "volume", "window_level": None, "window_width": None}
    )
    values = as_numbers(Canonical(open_image(home / "data/images/case_00.nii.gz")), spec.volume_numbers)
    plane = plane_of(values, 2, 2)
    twin = Preprocess(spec, "float32")(torch.from_numpy(plane)[None, None])[0, 0].numpy()
    assert np.allclose(spec.to_unit(spec.working_pixels(plane))[..., 0], twin, atol=1e-5)


def settled(home: Path, *settings: str) -> tuple[Recipe, InputSpec, str]:
    """As a run would have them, without training."""
    manifest, census = open_data(home / "data", cache_folder=home / "cache")
    recipe = resolve("unet", "tiny", {}, settings)
    plan = plan_intensity(recipe, manifest, census, home / "cache")
    recipe, spec = settle_input(plan.apply(recipe), census)
    return recipe, plan.complete(spec), plan.line(spec)


def test_what_is_stated_wins(home: Path) -> None:
    _, spec, line = settled(home, "input.intensity=range")
    assert (spec.intensity, line) == ("range", "intensity: each volume's 0.5th to 99.5th percentile → 0…1 (as stated)")
    own = ("input.intensity=window", "input.window_level=40", "input.window_width=400")
    _, spec, line = settled(home, *own)
    assert (spec.window_level, spec.window_width, line) == (
        40,
        400,
        "intensity: values from -160 to 240 → 0…1 (as stated)",
    )
    assert spec.trained_lows is not None, "prediction can still tell other units"


def test_a_window_can_be_asked_for_by_its_name_alone(home: Path) -> None:
    _, spec, line = settled(home, "input.intensity=window")
    assert spec == settled(home)[1]
    assert "a window was asked for; 0.5th to 99.5th percentile of the labeled voxels" in line
    with pytest.raises(RecipeError, match="measures"):
        settle_input(resolve("unet", "tiny", {}, ["input.intensity=window"]), Census())


@pytest.mark.parametrize("asked", [[], ["input.intensity=window"]])
def test_a_run_goes_on_with_the_same_command(home: Path, asked: list[str]) -> None:
    saved, _, _ = settled(home, *asked)
    again = settled_like(resolve("unet", "tiny", {}, asked), saved, {})
    assert [line for line in differences(saved, again) if "window" in line or "intensity" in line] == []


def test_other_units_are_told_with_figures(planned: tuple[Path, list[str]], home: Path, tmp_path: Path) -> None:
    source = nibabel.load(home / "data/images/case_00.nii.gz")
    values = np.asarray(source.dataobj).astype(np.float32)
    (tmp_path / "in").mkdir()
    for name, changed in {
        "right": values,
        "shifted": values + 1024,
        "picture": np.clip((values + 160) / 400, 0, 1) * 255,
        "unit": (values + 1000) / 4000,
    }.items():
        nibabel.save(nibabel.Nifti1Image(changed.astype(np.float32), source.affine), tmp_path / f"in/{name}.nii.gz")
    done = predict_files(load(planned[0]), [tmp_path / "in"], tmp_path / "out")
    told = {file.name: file.remark for file in done.files}
    assert told["right"] is None
    assert told["shifted"] is not None
    assert told["shifted"].startswith("its values lie in 15 … 1188, but those of the training volumes began at -1009")
    assert "lie in 0 …" in str(told["picture"])
    assert "the model sees values from 71 to 169" in str(told["unit"])


def test_models_without_a_window_compare_nothing(planned: tuple[Path, list[str]]) -> None:
    spec = load(planned[0]).spec
    plain = spec.model_copy(update={"intensity": "range", "window_level": None, "window_width": None})
    voxels = np.zeros((4, 4, 4), np.float32)
    assert far_from_training(voxels, plain, Path("x")) is None
    assert far_from_training(voxels, spec.model_copy(update={"trained_lows": None}), Path("x")) is None
    assert far_from_training(voxels, spec, Path("x")) is not None
