"""Channels with intensity rules of their own: CT in a window beside PET by its percentiles, alike wherever pixels are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from delineate.artefact import format as artefact_format
from delineate.common.errors import RecipeError
from delineate.data.cases.volumes import as_numbers, opened
from delineate.data.core.channel_rules import ChannelRule
from delineate.data.core.input_spec import InputSpec
from delineate.data.doctor.check import check
from delineate.data.formats.contract import plane_of, slab_of
from delineate.data.loading.open_data import open_data
from delineate.engine.input_settings import settle_input
from delineate.engine.intensity_plan import plan_intensity, without_windows
from delineate.engine.recipe import Recipe, differences, resolve
from delineate.engine.reporting import Silent
from delineate.engine.request import settled_like
from delineate.engine.run import train
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.inference.export.preprocess import Preprocess
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from delineate.inference.shading import shaded
from small_volumes import as_ct, write_volumes
from train_request import train_request

nibabel = pytest.importorskip("nibabel")
SMALL = ["method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=4"]
CT_PET = (ChannelRule(rule="window", level=120, width=98), ChannelRule(rule="range"))

ZERO_TO_ONE = ChannelRule(rule="window", level=0.5, width=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CT of whole numbers beside PET of floats, as nnU-Net names them."""
    folder = tmp_path_factory.mktemp("channels")
    source = as_ct(write_volumes(folder / "source", depth=4), channel=None)
    for name in ("imagesTr", "labelsTr"):
        (folder / "data" / name).mkdir(parents=True)
    for path in sorted((source / "images").glob("*.nii.gz")):
        image, case = nibabel.load(path), path.name.removesuffix(".nii.gz")
        uptake = np.abs(np.random.default_rng(len(case)).normal(0, 0.01, image.shape)).astype(np.float32)
        uptake += np.asarray(nibabel.load(source / "masks" / path.name).dataobj).astype(np.float32) * 0.3
        nibabel.save(image, folder / f"data/imagesTr/{case}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(uptake, image.affine), folder / f"data/imagesTr/{case}_0001.nii.gz")
        (source / "masks" / path.name).rename(folder / "data/labelsTr" / path.name)
    about = {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "a": 1, "b": 2, "c": 3}}
    (folder / "data/dataset.json").write_text(json.dumps(about | {"numTraining": 6, "file_ending": ".nii.gz"}))
    return folder


def trained(home: Path, name: str, settings: Sequence[str] = ()) -> tuple[Path, list[str]]:
    said: list[str] = []
    reporter = Silent()
    reporter.note = said.append  # type: ignore[method-assign]
    about: dict[str, Any] = {"method": "unet", "preset": "tiny", "size": 32, "steps": 2, "device": "cpu"}
    request = train_request(
        data=home / "data", out=home / name, settings=[*SMALL, *settings], cache_folder=home / "cache", **about
    )
    train(request, reporter)
    return home / name, said


@pytest.fixture(scope="module")
def planned(home: Path) -> tuple[Path, list[str]]:
    return trained(home, "planned")


def settled(home: Path, *settings: str) -> tuple[Recipe, InputSpec, str]:
    """As a run would have them, without training."""
    manifest, census = open_data(home / "data", cache_folder=home / "cache")
    recipe = resolve("unet", "tiny", {}, settings)
    plan = plan_intensity(recipe, manifest, census, home / "cache")
    recipe, spec = settle_input(plan.apply(recipe), census)
    return recipe, plan.complete(spec), plan.line(spec)


def slice_of(home: Path, spec: InputSpec, index: int = 2) -> np.ndarray:
    paths = [home / f"data/imagesTr/case_00_000{at}.nii.gz" for at in (0, 1)]
    return slab_of(as_numbers(opened(paths, ("CT", "PET")), spec.volume_numbers), 2, index, spec.neighbors)


def test_each_channel_has_the_rule_that_its_name_allows(planned: tuple[Path, list[str]]) -> None:
    run, said = planned
    (line,) = (one for one in said if one.startswith("intensity: "))
    assert line == (
        "intensity: CT: values from 71 to 169; PET: each volume's 0.5th to 99.5th percentile → 0…1 (a channel is called CT: CT, in "
        "Hounsfield units; CT: 0.5th to 99.5th percentile of the labeled voxels of 4 training volumes; if not: "
        "--set input.intensity=range takes each volume's percentiles)"
    )
    spec = load(run).spec
    assert spec.intensity == CT_PET
    assert spec.trained_lows == pytest.approx((-1009, -1009), abs=1), "of the CT alone"
    assert spec.placed is True, "so that prediction can tell of volumes without directions"
    assert Recipe.load(run / "recipe.yaml").input.intensity == dict(zip(("CT", "PET"), CT_PET, strict=True))
    text = (run / "recipe.yaml").read_text()
    assert "    CT:\n      rule: window\n      level: 120.0\n      width: 98.0\n    PET: range\n" in text
    again = artefact_format.load(run / "model.safetensors").spec
    assert again == spec
    record = TrainingRecord.of_run(run)
    assert record is not None
    assert record.recipe["input.intensity"] == "auto", "folds with other windows are trained in the same way"
    assert not [key for key in record.recipe if key.startswith("input.intensity.")]


def test_pixels_are_those_of_the_definition(planned: tuple[Path, list[str]], home: Path) -> None:
    predictor = load(planned[0])
    pixels = slice_of(home, predictor.spec)
    assert pixels.dtype == np.float32
    stored = [nibabel.load(home / f"data/imagesTr/case_00_000{at}.nii.gz").get_fdata() for at in (0, 1)]
    low, high = np.percentile(stored[1], (0.5, 99.5))
    wanted = [np.clip((stored[0] - 71) / 98, 0, 1), np.clip((stored[1] - low) / (high - low), 0, 1)]
    turn = opened([home / "data/imagesTr/case_00_0000.nii.gz"]).turn
    expected = np.stack([plane_of(turn.apply(one), 2, 2) for one in wanted], -1)
    spec = predictor.spec.model_copy(update={"size": pixels.shape[:2]})
    assert np.abs(spec.to_unit(spec.working_pixels(pixels)) - expected).max() < 0.5 / 255 + 1e-6, (
        "bytes of PET, and exact CT"
    )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"fit": "letterbox"},
        {"fit": "patch"},
        {"neighbors": 1},
        {"intensity": (ChannelRule(rule="zscore", over="volume", clip=3), ChannelRule(rule="percentile"))},
        {"intensity": (ChannelRule(rule="zscore", over="image"), ChannelRule(rule="range")), "fit": "letterbox"},
        {"intensity": (ChannelRule(rule="percentile"), ZERO_TO_ONE), "neighbors": 1, "fit": "patch"},
    ],
)
def test_the_twin_sees_the_same(planned: tuple[Path, list[str]], home: Path, change: dict[str, Any]) -> None:
    spec = load(planned[0]).spec.model_copy(update={"size": (40, 56), **change})
    pixels = slice_of(home, spec)
    ours = spec.to_unit(spec.working_pixels(pixels))
    twin = Preprocess(spec, "float32")(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None])[0]
    assert np.allclose(ours, twin.permute(1, 2, 0).numpy(), atol=2e-5)
    assert np.ptp(ours, axis=(0, 1)).min() > 0.1
    kept = spec.limits_for_patches(spec.working_pixels(pixels))
    if spec.fit == "patch":
        assert np.array_equal(spec.to_unit(spec.working_pixels(pixels), kept), ours), "a patch is like its image"


def test_an_empty_slice_is_black_by_percentiles(planned: tuple[Path, list[str]]) -> None:
    spec = load(planned[0]).spec.model_copy(update={"intensity": (CT_PET[0], ChannelRule(rule="percentile"))})
    assert spec.to_unit(np.zeros((4, 4, 2), np.float32))[0, 0].tolist() == [0, 0]


def test_people_are_shown_what_the_network_sees(planned: tuple[Path, list[str]]) -> None:
    spec = load(planned[0]).spec
    voxels = np.stack([np.full((2, 2, 2), 120.0), np.full((2, 2, 2), 200.0)], -1).astype(np.float32)
    assert shaded(voxels, spec, Path("x"))[0, 0, 0] in (127, 128)
    other = spec.model_copy(update={"intensity": spec.intensity[::-1], "channels": ("PET", "CT")})
    assert shaded(voxels[..., ::-1], other, Path("x"))[0, 0, 0] == 200


def test_training_with_each_size_rule_and_prediction(home: Path) -> None:
    run, _ = trained(home, "patches", ["input.fit=patch", "input.neighbors=1", "input.intensity.PET=zscore"])
    assert load(run).spec.intensity == (CT_PET[0], ChannelRule(rule="zscore", clip=3, over="volume"))
    done = predict_files(load(run), [home / "data/imagesTr"], home / "masks")
    assert [file.error for file in done.files] == [None] * 6
    assert [file.remark for file in done.files] == [None] * 6


def test_ct_in_another_unit_is_told_and_pet_is_not_looked_at(
    planned: tuple[Path, list[str]], home: Path, tmp_path: Path
) -> None:
    for at, change in ((0, 1024), (1, 5000)):
        source = nibabel.load(home / f"data/imagesTr/case_00_000{at}.nii.gz")
        for name, added in (("both", change), ("pet", change * at)):
            values = source.get_fdata().astype(np.float32) + added
            nibabel.save(nibabel.Nifti1Image(values, source.affine), tmp_path / f"{name}_000{at}.nii.gz")
    done = predict_files(load(planned[0]), [tmp_path], tmp_path / "out")
    told = {file.name: file.remark for file in done.files}
    assert "its values of CT lie in 15 …" in str(told["both"])
    assert "the model sees values from 71 to 169" in str(told["both"])
    assert told["pet"] is None


def test_what_is_stated_wins_and_the_rest_is_planned(home: Path) -> None:
    own = "input.intensity={PET: {rule: window, level: 1, width: 2}}"
    recipe, spec, line = settled(home, own)
    assert spec.intensity == (CT_PET[0], ChannelRule(rule="window", level=1, width=2))
    assert line.startswith("intensity: CT: values from 71 to 169; PET: values from 0 to 2 → 0…1 (as stated; CT: ")
    again = settled_like(resolve("unet", "tiny", {}, [own]), recipe, {})
    assert [each for each in differences(recipe, again) if "intensity" in each or "zscore" in each] == []
    other = settled_like(resolve("unet", "tiny", {}, ["input.intensity.PET=range"]), recipe, {})
    assert [each for each in differences(recipe, other) if "PET" in each]
    assert settled(home, "input.intensity=range")[1].intensity == "range", "one rule for all, as before"
    assert settled(home, "input.intensity.PET=window")[1].intensity[1].width > 0, "measured by itself"
    assert settled(home, "input.intensity.CT=zscore")[1].intensity[0].over == "volume"
    assert without_windows(resolve("unet", "tiny", {}, ["input.intensity.CT=window"])).input.intensity == {
        "CT": ChannelRule(rule="auto")
    }


@pytest.mark.parametrize("asked", [[], ["input.intensity.CT=window"], ["input.intensity.PET=zscore"]])
def test_a_run_goes_on_with_the_same_command(home: Path, asked: list[str]) -> None:
    saved, _, _ = settled(home, *asked)
    again = settled_like(resolve("unet", "tiny", {}, asked), saved, {})
    assert [line for line in differences(saved, again) if "intensity" in line or "zscore" in line] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["input.intensity.CTA=window"], r"input.intensity: the images have no channel 'CTA': .*CT"),
        (
            ["input.intensity.CT=windw"],
            r"input.intensity: channel 'CT': an intensity rule is named, not 'windw': .*window",
        ),
        (["input.intensity={CT: {rule: window, level: 3}}"], "channel 'CT': a window has both level and width"),
        (
            ["input.intensity={CT: {rule: range, clip: 3}}"],
            r"channel 'CT': clip is for rule=zscore only \(given: rule=range\)",
        ),
        (["input.intensity={CT: {rule: window, level: 3, width: 0}}"], "channel 'CT': width: .*greater than 0"),
        (["input.intensity={CT: {rule: zscore, klip: 3}}"], "channel 'CT': klip: "),
        (["input.intensity={CT: 7}"], "channel 'CT': .*"),
        (["input.intensity={}"], "name each channel's rule"),
        (["input.intensity.CT=window", "input.window_level=3"], "window_level is for intensity=window only"),
        (["input.intensity.CT=zscore", "input.zscore_over=image"], "zscore_over is for intensity=zscore only"),
    ],
)
def test_wrong_rules_are_one_line(home: Path, settings: list[str], words: str) -> None:
    with pytest.raises(RecipeError, match=words) as error:
        settled(home, *settings)
    assert "\n" not in str(error.value)


def test_rules_by_channel_need_channels(home: Path, tmp_path: Path) -> None:
    write_volumes(tmp_path / "one", depth=4)
    manifest, census = open_data(tmp_path / "one", cache_folder=tmp_path / "cache")
    with pytest.raises(RecipeError, match=r"rules by channel \(CT\) need named channels"):
        plan_intensity(resolve("unet", "tiny", {}, ["input.intensity.CT=window"]), manifest, census, tmp_path)


def test_artefacts_state_settled_rules_of_all_channels() -> None:
    with pytest.raises(ValueError, match="1 intensity rules for the channels CT"):
        InputSpec(channels=("CT", "PET"), intensity=CT_PET[:1])
    with pytest.raises(ValueError, match="settled"):
        InputSpec(channels=("CT", "PET"), intensity=(CT_PET[0], ChannelRule(rule="auto")))
    with pytest.raises(ValueError, match="2 intensity rules for the channels rgb"):
        InputSpec(channels="rgb", intensity=CT_PET)


def test_the_data_check_says_what_is_planned_for_each(home: Path) -> None:
    row = dict(check(home / "data").rows)["intensity"]
    assert row == (
        "a window, measured in the labeled voxels (a channel is called CT: CT, in Hounsfield units); of PET each volume's 0.5th to "
        "99.5th percentile"
    )
