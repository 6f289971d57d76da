"""Training on slices across all three axes of volumes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.cases.volumes import volume_image, volume_mask
from delineate.data.core.input_spec import InputSpec
from delineate.data.formats.registry import open_image
from delineate.data.loading.open_data import open_data
from delineate.data.loading.samples import open_samples
from delineate.engine.calibrate import calibrate_run
from delineate.engine.recipe import Recipe
from delineate.engine.reporting import Silent
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from train_request import train_request

nib = pytest.importorskip("nibabel")
Maker = Callable[..., TrainRequest]
SHAPE = (9, 8, 4)
SLICES = sum(SHAPE)
SMALL = ["method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=4"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With `data`: twelve small volumes of two balls, which have their two labels; five of them validate."""
    folder = tmp_path_factory.mktemp("axes")
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) * (1.0, 1.0, 2.0)
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    names = [f"case_{at:02d}" for at in range(12)]
    for at, name in enumerate(names):
        labels = np.zeros(SHAPE, np.int16)
        for label, middle in enumerate([(2 + at % 3, 2, 3), (6, 5, 4)], start=1):
            labels[np.linalg.norm(places - middle, axis=-1) < 2.4] = label
        voxels = labels * 300 + np.random.default_rng(at).normal(0, 9, SHAPE).astype(np.int16)
        for kind, array in (("images", voxels), ("masks", labels)):
            image = nib.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0]))
            nib.save(image, folder / "data" / kind / f"{name}.nii.gz")
    for split, part in (("train", names[:6]), ("val", names[6:11]), ("test", names[11:])):
        (folder / "data" / f"{split}.txt").write_text("\n".join(part) + "\n")
    return folder


@pytest.fixture(scope="module")
def ask(home: Path) -> Maker:
    def make(name: str, *, settings: Sequence[str] = (), **changes: Any) -> TrainRequest:
        about: dict[str, Any] = {"method": "unet", "preset": "tiny", "size": 32, "steps": 3, "device": "cpu"} | changes
        return train_request(
            data=home / "data", out=home / name, settings=[*SMALL, *settings], cache_folder=home / "cache", **about
        )

    return make


@pytest.fixture(scope="module")
def finished(ask: Maker) -> tuple[Path, list[str]]:
    """A run, and what it said."""
    said: list[str] = []
    reporter = Silent()
    reporter.note = said.append  # type: ignore[method-assign]
    train(ask("run", axis="all"), reporter)
    return ask("run").out, said


def test_samples_are_the_slices_of_each_axis(home: Path) -> None:
    manifest, census = open_data(home / "data", axis="all", cache_folder=home / "cache")
    cases = manifest.split("val")[:2]
    samples = census.samples(cases, manifest.labels)
    assert (census.axis, census.all_axes, len(samples)) == (2, True, 2 * SLICES)
    assert len({one.name for one in samples}) == len(samples)
    assert [one.axis for one in samples[:SLICES]] == [None] * 4 + [0] * 9 + [1] * 8
    spec = InputSpec(size=(8, 8), channels="gray", fit="patch", axis=2, all_axes=True)
    cache = open_cache(manifest, samples, spec, Store.at(home / "cache"), axis=census.axis)
    for at, one in enumerate(samples):
        axis = 2 if one.axis is None else one.axis
        image, mask = volume_image(manifest, one.case), volume_mask(manifest, one.case)
        assert np.array_equal(cache.image(at)[..., 0], np.take(image, one.plane, axis))
        assert np.array_equal(cache.mask(at), np.take(mask, one.plane, axis))
        assert one.size == cache.mask(at).shape
        assert one.pixels == {label: n for label in (1, 2) if (n := int((cache.mask(at) == label).sum()))}
    per_axis = [sum(one.pixels.get(1, 0) for one in samples if one.axis == axis) for axis in (None, 0, 1)]
    assert len(set(per_axis)) == 1, "each axis sees every voxel once"
    assert open_data(home / "data", axis="all", cache_folder=home / "cache")[1] == census, "as remembered"


def test_a_run_on_all_axes_validates_as_it_predicts(finished: tuple[Path, list[str]], tmp_path: Path) -> None:
    run, said = finished
    assert f"slices: {6 * SLICES} train, {5 * SLICES} val, across each of the three axes" in said
    predictor = load(run, device="cpu")
    assert (predictor.spec.axis, predictor.spec.all_axes) == (2, True)
    assert Recipe.load(run / "recipe.yaml").data.axis == "all"
    validated = sorted((run / "validation" / "masks").iterdir())
    assert len(validated) == 5
    images = [run.parent / "data" / "images" / path.name for path in validated]
    result = predict_files(predictor, images, tmp_path / "out", axis="all")
    assert not result.failures
    for path in validated:
        assert np.array_equal(open_image(path).read(), open_image(tmp_path / "out" / path.name).read())
    stored = json.loads((run / "validation" / "scores.json").read_text())
    assert (stored["level"], stored["length"]) == ("volume", "mm")
    assert not list((run / "validation" / "masks").glob("tmp*"))


def test_a_run_on_all_axes_goes_on_and_calibrates(ask: Maker, recorder: Any, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(step: int) -> None:
        if step == 2:
            raise Killed

    settings = [
        "engine.save_minutes=0.00001",
        "data.regions={both: [label 1, label 2], second: [label 2]}",
        "data.slices=foreground",
    ]
    with pytest.raises(Killed):
        train(ask("killed", axis="all", settings=settings), recorder(kill))
    train(ask("killed", axis="all", settings=settings, resume=True), Silent())
    found = calibrate_run(ask("killed").out)
    assert found.cases == 5
    assert found.before is not None


def test_few_shot_methods_take_one_axis(home: Path) -> None:
    with pytest.raises(DataError, match=r"^axis all is for `train` and `predict`"):
        open_samples(home / "data", axis="all")
