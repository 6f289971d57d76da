"""Training and prediction on images that are resampled to one spacing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from delineate.common.errors import DataError, RecipeError
from delineate.data.cases.volumes import as_numbers, opened
from delineate.data.core.geometry import pixel_spacing
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.formats.registry import open_image
from delineate.data.layouts.source import DataSource
from delineate.engine.calibrate import calibrate_run
from delineate.engine.recipe import Recipe
from delineate.engine.reporting import Silent
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.export.preprocess import Preprocess
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from train_request import train_request

nib = pytest.importorskip("nibabel")
Maker = Callable[..., TrainRequest]
SMALL = ["method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=4"]
BOX = (24.0, 20.0, 12.0)
"""Of each volume, in mm."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With `data`: a ball of 6 mm radius in volumes of many spacings, the third of them 3 mm; five of them validate."""
    folder = tmp_path_factory.mktemp("spacing")
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    names = [f"case_{at:02d}" for at in range(10)]
    for at, name in enumerate(names):
        spacing = ((1.0, 1.0, 3.0), (0.8, 1.0, 3.0), (2.0, 2.0, 3.0))[at % 3]
        shape = [round(length / step) for length, step in zip(BOX, spacing, strict=True)]
        grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * spacing
        labels = (np.linalg.norm(grid - np.array(BOX) / 2, axis=-1) < 6).astype(np.int16)
        voxels = labels * 300 + np.random.default_rng(at).normal(0, 9, shape).astype(np.int16)
        for kind, array in (("images", voxels), ("masks", labels)):
            nib.save(nib.Nifti1Image(array, np.diag([*spacing, 1.0])), folder / "data" / kind / f"{name}.nii.gz")
    for split, part in (("train", names[:5]), ("val", names[5:])):
        (folder / "data" / f"{split}.txt").write_text("\n".join(part) + "\n")
    return folder


@pytest.fixture(scope="module")
def ask(home: Path) -> Maker:
    def make(name: str, *, settings: Sequence[str] = (), **changes: Any) -> TrainRequest:
        about: dict[str, Any] = {
            "data": home / "data",
            "method": "unet",
            "preset": "tiny",
            "size": 32,
            "steps": 3,
            "device": "cpu",
        } | changes
        return train_request(out=home / name, settings=[*SMALL, *settings], cache_folder=home / "cache", **about)

    return make


@pytest.mark.parametrize(
    ("name", "settings", "spacing"),
    [
        ("frames", ["input.fit=letterbox", "input.spacing=auto"], (1.0, 1.0)),
        ("patches", ["input.fit=patch", "input.spacing=[0.7, 0.9]"], (0.7, 0.9)),
        ("axes", ["input.fit=letterbox", "input.spacing=1", "data.axis=all"], (1.0, 1.0)),
    ],
)
def test_a_run_predicts_at_the_spacing_that_it_was_trained_at(
    ask: Maker, tmp_path: Path, name: str, settings: list[str], spacing: tuple[float, float]
) -> None:
    train(ask(name, settings=settings), Silent())
    run = ask(name).out
    predictor = load(run, device="cpu")
    assert predictor.spec.spacing == spacing
    assert Recipe.load(run / "recipe.yaml").input.spacing == spacing
    validated = sorted((run / "validation" / "masks").iterdir())
    images = [run.parent / "data" / "images" / path.name for path in validated]
    done = predict_files(predictor, images, tmp_path / "out", probabilities=True)
    assert not done.failures
    assert [file.remark for file in done.files] == [None] * 5
    for image, path in zip(images, validated, strict=True):
        ours = open_image(tmp_path / "out" / path.name)
        assert ours.shape == open_image(image).shape
        assert np.array_equal(ours.read(), open_image(path).read())
    if name == "frames":
        volume = opened([images[0]])
        middle = np.ascontiguousarray(as_numbers(volume, "bytes")[:, :, 2])
        by_hand = predictor.probabilities(middle, pixel_spacing(volume.geometry.spacing, 2))[..., 0]
        written = nib.load(tmp_path / "out" / "probabilities" / images[0].name).get_fdata()[:, :, 2]
        assert np.abs(by_hand - written).max() < 1 / 65535
        found = calibrate_run(run)
        assert found.cases == 5


def test_a_larger_anatomy_and_other_voxels_are_told(ask: Maker, tmp_path: Path) -> None:
    train(ask("told", steps=1, settings=["input.fit=letterbox", "input.spacing=1"]), Silent())
    for name, shape, steps in (
        ("wide", (50, 20, 4), (1, 1, 3)),
        ("thin", (20, 20, 4), (1, 1, 1)),
        ("as", (10, 10, 4), (2, 2, 3)),
    ):
        voxels = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.diag([*steps, 1.0])), tmp_path / f"{name}.nii.gz")
    done = predict_files(load(ask("told").out), [tmp_path], tmp_path / "out")
    told = {file.name: file.remark for file in done.files}
    assert "an image of 50×20 pixels at the model's 1×1 mm is shrunk into the 32×32 that it sees" in str(told["wide"])
    assert (told["thin"], told["as"]) == (None, None)
    (line,) = done.notes
    assert line.startswith("1 volume has a spacing far from that of the training volumes")
    assert "thin (1 × 1 × 1 mm)" in line, "along the slices pixels are resampled"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["input.spacing=1"], r"spacing needs fit=letterbox or fit=patch"),
        (["input.spacing=-1", "input.fit=patch"], r"input\.spacing"),
        (["input.spacing=[1, 1, 1]", "input.fit=patch"], r"input\.spacing"),
        (
            ["input.spacing=0.5", "input.fit=letterbox"],
            r"input\.size: at a spacing of 0\.5×0\.5 mm images are up to 48×40 pixels",
        ),
        (["input.spacing=2", "input.fit=patch"], r"larger than every image .* a smaller input\.spacing"),
    ],
)
def test_what_cannot_be_is_refused(ask: Maker, settings: list[str], words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        train(ask("refused", settings=settings), Silent())
    assert "\n" not in str(caught.value)
    assert not ask("refused").out.exists()


def test_pictures_need_a_manifest_that_tells(discs: Path, ask: Maker, tmp_path: Path) -> None:
    settings = ["input.fit=letterbox", "input.spacing=0.5"]
    with pytest.raises(
        RecipeError, match=r"^input\.spacing: '.*' does not tell how large its pixels are; leave it out"
    ):
        train(ask("pictures", data=discs, settings=settings), Silent())
    manifest = DataSource(discs).manifest()
    spaced = tuple(case.model_copy(update={"spacing": (0.25, 0.25)}) for case in manifest.cases)
    manifest.model_copy(update={"cases": spaced}).save(tmp_path / "manifest.json")
    train(ask("spaced", data=tmp_path / "manifest.json", settings=settings, size=64), Silent())
    run = ask("spaced").out
    assert Manifest.load(run / "manifest.json").cases[0].pixel_spacing == (0.25, 0.25)
    validated = sorted((run / "validation" / "masks").iterdir())
    done = predict_files(load(run), [tmp_path / "manifest.json"], tmp_path / "out", split="all")
    assert not done.failures
    for path in validated:
        assert np.array_equal(open_image(path).read(), open_image(tmp_path / "out" / path.name).read())
    files = sorted((discs / "images").iterdir())[:1]
    failed = predict_files(load(run), files, tmp_path / "other").failures
    assert "does not tell how large its own are" in str(failed[0].error)


def test_the_twin_resamples_alike() -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 22), dtype=np.uint8)
    for fit in ("letterbox", "patch"):
        spec = InputSpec(channels="gray", size=(40, 40), fit=fit, spacing=(1.0, 0.8))  # type: ignore[arg-type]
        twin = Preprocess(spec, spacing=(1.2, 1.1))
        made = twin(torch.from_numpy(image)[None, None])[0].permute(1, 2, 0).numpy()
        ours = spec.to_unit(spec.working_pixels(image, (1.2, 1.1)))
        assert np.abs(made - ours).max() < 1.01 / 255
        with pytest.raises(DataError, match=r"does not tell how large its own are"):
            Preprocess(spec)
