"""Runs on volumes: slices are what is trained on, volumes what is split, validated, scored and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from delineate.api import evaluate
from delineate.common.errors import DataError, DelineateError, RecipeError
from delineate.data.cache.cache import Cache
from delineate.data.cache.store import Store
from delineate.data.cases.volumes import as_numbers
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.samples import Sample
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import slab_of
from delineate.data.formats.registry import check_same_grid, open_image
from delineate.data.loading.cached_slices import decode
from delineate.data.loading.samples import open_samples
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.reporting import Silent
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.engine.validation import VolumeCounts, count_cases
from delineate.inference.export.preprocess import Preprocess
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from delineate.nn.output import Output
from delineate.report.pages.run import write_run_report
from small_volumes import reorder, tilt, write_volumes
from train_request import train_request

pytest.importorskip("nibabel")
Maker = Callable[..., TrainRequest]
DEPTH = 5
ORDERS = [((2, 0, 1), ()), ((0, 1, 2), (0, 1)), ((1, 0, 2), (2,)), ((2, 1, 0), (0, 2))]
SMALL = ["method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=4"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With `data`: six oblique volumes of five slices; no lists, so that one of them validates and one is for testing."""
    folder = tmp_path_factory.mktemp("volumes")
    tilt(write_volumes(folder / "data", depth=DEPTH))
    return folder


@pytest.fixture(scope="module")
def ask(home: Path) -> Maker:
    """A maker of requests for tiny runs on volumes."""

    def make(name: str, *, data: Path = home / "data", settings: Sequence[str] = (), **changes: Any) -> TrainRequest:
        about: dict[str, Any] = {"method": "unet", "preset": "tiny", "size": 32, "steps": 6, "device": "cpu"} | changes
        return train_request(
            data=data, out=home / name, settings=[*SMALL, *settings], cache_folder=home / "cache", **about
        )

    return make


@pytest.fixture(scope="module")
def finished(ask: Maker) -> tuple[Path, list[str]]:
    """A run, and what it said."""
    said: list[str] = []
    reporter = Silent()
    reporter.note = said.append  # type: ignore[method-assign]
    train(ask("run", steps=10), reporter)
    return ask("run").out, said


def voxels(path: Path) -> np.ndarray:
    return Canonical(open_image(path)).read()


def test_a_run_counts_slices_and_scores_volumes(finished: tuple[Path, list[str]], tmp_path: Path) -> None:
    run, said = finished
    assert f"slices: {4 * DEPTH} train, {DEPTH} val, across the axis feet-head (data.axis=2)" in said
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(5, 1.0), (10, 2.0)]
    spec = load(run, device="cpu").spec
    assert (spec.axis, Recipe.load(run / "recipe.yaml").data.axis) == (2, 2)
    assert spec.trained_spacing is not None
    assert np.allclose(spec.trained_spacing, [(1, 1), (1, 1), (5, 5)])
    manifest = Manifest.load(run / "manifest.json")
    assert {len(manifest.split(name)) for name in ("val", "test")} == {1}
    (case,) = manifest.split("val")
    image, mask = manifest.path(case.images[0]), run / "validation" / "masks" / f"{case.id}.nii.gz"
    check_same_grid(image, mask)
    predict_files(load(run, device="cpu"), [image], tmp_path / "again")
    assert np.array_equal(voxels(tmp_path / "again" / mask.name), voxels(mask))
    scored = evaluate(
        mask.parent, run / "manifest.json", split="val", metrics=["dice", "hd95_pooled"], out=tmp_path / "scores"
    )
    stored = json.loads((run / "validation" / "scores.json").read_text())
    assert (stored["level"], stored["length"]) == ("volume", "mm")
    assert stored["references_sha256"] == scored.origin.references_sha256
    assert [row.scores["dice"] for row in scored.rows] == pytest.approx(
        [stored["classes"][name]["dice"]["all"]["mean"] for name in stored["classes"]]
    )
    assert stored["macro"]["hd95_pooled"] == scored.summary.to_json("mm")["macro"]["hd95_pooled"]
    (overlay,) = (run / "validation" / "overlays").iterdir()
    assert cv2.imread(str(overlay)).shape[1] > 600, "three planes beside each other"
    write_run_report(run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "the axial, coronal and sagittal plane" in page


def test_masks_lie_on_the_images_whatever_the_order_of_their_voxels(
    ask: Maker, finished: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder = tilt(write_volumes(tmp_path / "turned", depth=DEPTH))
    for at, (axes, flips) in zip(range(6), cycle(ORDERS), strict=False):
        reorder(folder, f"case_{at:02d}", axes, flips)
    train(ask("turned", data=folder, steps=10), Silent())
    plain, turned = finished[0], ask("turned").out
    ours, theirs = (load_file(run / "model.safetensors") for run in (plain, turned))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    (case,) = Manifest.load(turned / "manifest.json").split("val")
    name = f"validation/masks/{case.id}.nii.gz"
    check_same_grid(folder / case.images[0], turned / name)
    assert voxels(turned / name).any()
    assert np.array_equal(voxels(plain / name), voxels(turned / name))
    assert not np.array_equal(open_image(plain / name).read(), open_image(turned / name).read())


def test_few_shot_finds_the_slices_that_training_has_decoded(ask: Maker, finished: tuple[Path, list[str]]) -> None:
    said: list[str] = []
    store = Store.at(ask("run").cache_folder, announce=said.append)
    data, spec = open_samples(finished[0] / "manifest.json"), load(finished[0], device="cpu").spec
    assert len(decode(data.split("train"), spec, store)) == 4 * DEPTH
    assert said == []


def test_a_killed_run_on_volumes_ends_with_the_same_bits(ask: Maker, recorder: Any) -> None:
    class Killed(BaseException):
        pass

    def kill(step: int) -> None:
        if step == 3:
            raise Killed

    settings = ["engine.save_minutes=0.00001", "data.slices=foreground"]
    train(ask("whole", settings=settings), Silent())
    with pytest.raises(Killed):
        train(ask("killed", settings=settings), recorder(kill))
    said = recorder()
    train(ask("killed", settings=settings, resume=True), said)
    assert "trained on 16 of 20 slices: those without any class are left out" in said.notes
    ours, theirs = (load_file(ask(name).out / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_patches_of_slices_across_another_axis(ask: Maker) -> None:
    train(ask("patches", steps=2, settings=["input.fit=patch", "data.axis=1", "input.scale=2"]), Silent())
    run = ask("patches").out
    (case,) = Manifest.load(run / "manifest.json").split("val")
    assert case.spacing == pytest.approx((1, 1, 5))
    assert load(run, device="cpu").spec.axis == 1
    assert voxels(run / "validation" / "masks" / f"{case.id}.nii.gz").shape == (48, 48, DEPTH)


@pytest.mark.parametrize(
    ("pictures", "settings", "words"),
    [
        (True, ["data.axis=1"], r"holds no volumes, so there is no slice axis to choose"),
        (True, ["data.slices=foreground"], r"data\.slices: only for volumes"),
        (False, ["data.axis=3"], r"data\.axis"),
    ],
)
def test_what_means_nothing_is_refused(
    pictures: bool, settings: list[str], words: str, discs: Path, ask: Maker
) -> None:
    data = {"data": discs} if pictures else {}
    with pytest.raises(DelineateError, match=words) as caught:
        train(ask("refused", settings=settings, **data), Silent())
    assert isinstance(caught.value, DataError | RecipeError)
    assert "\n" not in str(caught.value)
    assert not ask("refused").out.exists()


def test_an_axis_of_episodes_is_one_of_the_data_now(tmp_path: Path) -> None:
    recipe = resolve("unet", "tiny", {}).model_dump(mode="json")
    recipe["episodes"]["axis"] = 1
    del recipe["data"]["axis"]
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    assert Recipe.load(tmp_path / "recipe.yaml").data.axis == 1
    with pytest.raises(RecipeError, match=r"episodes\.axis is called data\.axis now"):
        resolve("unet", "tiny", {}, ["episodes.axis=1"])


def test_slices_are_judged_as_volumes() -> None:
    rng = np.random.default_rng(0)
    depths = [3, 1, 4]
    cases = [Case(id=str(at), images=("x.nii",), masks=("m.nii",)) for at in range(len(depths))]
    samples = tuple(Sample(case, plane) for case, depth in zip(cases, depths, strict=True) for plane in range(depth))
    masks = rng.choice([0, 1, 2, 255], (sum(depths), 6, 5)).astype(np.uint8)
    logits = torch.from_numpy(rng.normal(size=(sum(depths), 3, 6, 5)))
    count = VolumeCounts(Cache(samples, masks[..., None], masks), partial(count_cases, output=Output(3)))
    targets = torch.from_numpy(masks).long()
    found = [case for at in range(0, 8, 3) for case in count(logits[at : at + 3], targets[at : at + 3])]
    edges = np.cumsum([0, *depths])
    wide = [slice(*pair) for pair in pairwise(edges)]
    expected = [
        count_cases(logits[part].movedim(0, 1).reshape(1, 3, -1, 5), targets[part].reshape(1, -1, 5), Output(3))[0]
        for part in wide
    ]
    assert len(found) == len(depths)
    for one, other in zip(found, expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


@pytest.fixture(scope="module")
def neighborly(ask: Maker) -> Path:
    """A run whose network sees three slices at once."""
    train(ask("neighborly", settings=["input.neighbors=1", "augment.color=1"], steps=4), Silent())
    return ask("neighborly").out


def test_a_network_of_neighbors_predicts_as_it_was_validated(neighborly: Path, home: Path, tmp_path: Path) -> None:
    predictor = load(neighborly)
    assert (predictor.spec.neighbors, predictor.spec.in_channels) == (1, 3)
    assert Recipe.load(neighborly / "recipe.yaml").input.channels == "gray"
    (validated,) = sorted((neighborly / "validation/masks").iterdir())
    done = predict_files(predictor, [home / "data/images" / validated.name], tmp_path / "out")
    assert [(file.error, file.remark) for file in done.files] == [(None, None)]
    assert np.array_equal(voxels(validated), voxels(tmp_path / "out" / validated.name))


def test_neighbors_are_those_of_the_volume(neighborly: Path, home: Path) -> None:
    """By hand: a middle slice and the last one, each with the slices beside it."""
    predictor = load(neighborly)
    image = as_numbers(Canonical(open_image(home / "data/images/case_00.nii.gz")), "bytes")
    for index, around in ((2, (1, 2, 3)), (DEPTH - 1, (DEPTH - 2, DEPTH - 1, DEPTH - 1)), (0, (0, 0, 1))):
        slab = slab_of(image, 2, index, 1)
        assert np.array_equal(slab, np.stack([image[:, :, at] for at in around], 2))
        assert predictor.prepare(slab).shape == (32, 32, 3)
    twin = Preprocess(predictor.spec)
    shown = torch.from_numpy(slab).permute(2, 0, 1)[None]
    assert torch.allclose(twin(shown)[0].permute(1, 2, 0), torch.from_numpy(predictor.prepare(slab)), atol=1 / 255)


def test_single_pictures_have_no_neighbors(neighborly: Path, ask: Maker, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9), np.uint8))
    done = predict_files(load(neighborly), [tmp_path / "a.png"], tmp_path / "out")
    assert "sees 3 neighboring slices of a volume at once" in str(done.files[0].error)
    (tmp_path / "data/images").mkdir(parents=True)
    (tmp_path / "data/masks").mkdir()
    for name in "abcd":
        cv2.imwrite(str(tmp_path / f"data/images/{name}.png"), np.full((9, 9), ord(name), np.uint8))
        cv2.imwrite(str(tmp_path / f"data/masks/{name}.png"), np.eye(9, dtype=np.uint8) * 255)
    with pytest.raises(RecipeError, match=r"input\.neighbors: only slices of volumes have neighbors"):
        train(ask("pictures", data=tmp_path / "data", settings=["input.neighbors=1"]), Silent())


def test_colors_are_not_made_of_slices(neighborly: Path) -> None:
    """Saturation and hue would mix a slice with those beside it."""
    assert not load(neighborly).spec.colored
    assert InputSpec(channels="rgb").colored


def test_scores_are_over_the_volume_by_default(ask: Maker, home: Path, tmp_path: Path) -> None:
    """By hand: what the network is shown of a slice is in the standard deviations of its volume, in training and in prediction."""
    train(ask("scored", settings=["input.intensity=zscore", "input.zscore_clip=2"], steps=4), Silent())
    folder = ask("scored").out
    predictor = load(folder)
    assert Recipe.load(folder / "recipe.yaml").input.zscore_over == "volume"
    raw = Canonical(open_image(home / "data/images/case_01.nii.gz")).read().astype(np.float64)
    expected = np.clip(((raw - raw.mean()) / raw.std() + 2) / 4, 0, 1)
    shown = as_numbers(Canonical(open_image(home / "data/images/case_01.nii.gz")), predictor.spec.volume_numbers)
    assert np.allclose(predictor.spec.to_unit(shown), expected, atol=1e-5)
    (validated,) = sorted((folder / "validation/masks").iterdir())
    predict_files(predictor, [home / "data/images" / validated.name], tmp_path / "out")
    assert np.array_equal(voxels(validated), voxels(tmp_path / "out" / validated.name))


def test_scores_over_volumes_are_for_volumes(ask: Maker) -> None:
    with pytest.raises(RecipeError, match=r"input\.zscore_over=volume is for intensity=zscore and slices of volumes"):
        train(ask("wrong", settings=["input.zscore_over=volume"]), Silent())
