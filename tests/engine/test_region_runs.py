"""Runs that learn nested regions: what they leave, how they predict and are scored, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from delineate.api import evaluate
from delineate.artefact import format as artefact_format
from delineate.common.errors import ArtefactError, RecipeError
from delineate.data.core.manifest import ClassTable, Manifest
from delineate.data.core.regions import Region
from delineate.data.formats.registry import read_mask
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.region_settings import settle_regions, with_regions
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from small_volumes import write_slices, write_volumes

Maker = Callable[..., TrainRequest]
NESTED = {"all": ["label 1", "label 2", "label 3"], "inner": ["label 2", "label 3"], "end": ["label 3"]}
REGIONS = f"data.regions={json.dumps(NESTED)}"
TABLE = ClassTable(names=("background", "label 1", "label 2", "label 3")).with_regions(NESTED)


class Killed(BaseException):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slices(tmp_path_factory.mktemp("slices"), patients=6, depth=4)


@pytest.fixture
def ask(request_for: Maker, slices: Path) -> Maker:
    def make(*more: str, **changes: Any) -> TrainRequest:
        return request_for(settings=[REGIONS, *more], **{"data": slices} | changes)

    return make


def test_a_run_learns_predicts_and_is_scored_by_regions(
    ask: Maker, recorder: Any, slices: Path, tmp_path: Path
) -> None:
    noted = recorder()
    result = train(ask("engine.lr=0.01", steps=10), noted)
    run = tmp_path / "run"
    assert any(
        line == "regions to learn: all = label 1 + label 2 + label 3; inner = label 2 + label 3; end = label 3"
        for line in noted.notes
    )
    assert Manifest.load(run / "manifest.json").classes == TABLE
    assert Recipe.load(run / "recipe.yaml").data.regions == {name: tuple(of) for name, of in NESTED.items()}
    model = load(run, device="cpu")
    assert (model.classes.regions, model.method.classes) == (TABLE.regions, 3)

    image = cv2.imread(str(next(iter(sorted((slices / "images").glob("*.png"))))), cv2.IMREAD_UNCHANGED)
    planes = model.probabilities(image)
    painted = np.zeros(image.shape, np.uint8)
    for channel, index in enumerate((1, 2, 3)):
        painted[planes[..., channel] >= 0.5] = index
    assert np.array_equal(model.predict(image), painted)
    assert not np.allclose(planes.sum(-1), 1, atol=0.01), "sigmoids, which need not sum to 1"

    scores = json.loads((run / "validation" / "scores.json").read_text())
    assert list(scores["classes"]) == ["all", "inner", "end"]
    assert result.dice == pytest.approx(scores["macro"]["dice"]["present"]["mean"])

    predict_files(model, [slices], tmp_path / "masks", split="test", probabilities=True)
    folders = sorted(path.name for path in (tmp_path / "masks" / "probabilities").iterdir())
    assert folders == ["0_all", "1_inner", "2_end"]
    found = evaluate(tmp_path / "masks", slices, split="test", metrics="dice,ece", out=tmp_path / "scores")
    assert (found.summary.of, found.by_class is not None) == ("regions", True)
    page = (tmp_path / "scores" / "report.html").read_text()
    assert "Mean of the regions" in page
    assert "Single classes" in page
    assert "- Regions: all = label 1 + label 2 + label 3;" in (run / "card.md").read_text()
    assert "mean over the regions" in json.loads((run / "run.json").read_text())["headline"]["words"]
    assert [row.name for row in found.rows[:3]] == ["all", "inner", "end"]
    for row in found.rows[:6]:
        ours, theirs = (
            read_mask(folder / f"{row.case}.png", "index") for folder in (tmp_path / "masks", slices / "masks")
        )
        ours, theirs = (np.isin(each, TABLE.structures[row.name]) for each in (ours, theirs))
        assert (row.tp, row.fp, row.fn) == ((ours & theirs).sum(), (ours & ~theirs).sum(), (~ours & theirs).sum())


def test_volumes_and_patches(request_for: Maker, tmp_path: Path) -> None:
    """Through the sliding window, and scored as volumes; the region `rest` is painted by its parts alone."""
    pytest.importorskip("nibabel")
    volumes = write_volumes(tmp_path / "volumes", patients=4, depth=4)
    filled = {"rest": ["label 1", "label 2"], "one": ["label 1"], "two": ["label 2"], "end": ["label 3"]}
    settings = [f"data.regions={json.dumps(filled)}", "input.fit=patch", "data.patches_per_image=1"]
    train(request_for(data=volumes, settings=settings, steps=1))
    scores = json.loads((tmp_path / "run" / "validation" / "scores.json").read_text())
    assert (scores["level"], list(scores["classes"])) == ("volume", ["rest", "one", "two", "end"])
    assert [region.paints for region in load(tmp_path / "run", device="cpu").classes.regions] == [None, 1, 2, 3]


def test_what_the_data_say_of_painting_holds_for_a_resumed_run_too() -> None:
    """nnU-Net's order may paint a region that its parts fill; a recipe says nothing of it."""
    parts = Region(name="one", classes=(1,), paints=1), Region(name="two", classes=(2,), paints=2)
    table = ClassTable(names=TABLE.names[:3], regions=(Region(name="rest", classes=(1, 2), paints=1), *parts))
    manifest = Manifest(root="x", layout="masks", split_origin="", classes=table)
    recipe = settle_regions(resolve("unet", "tiny", {}), table)
    assert recipe.data.regions == {"rest": ("label 1", "label 2"), "one": ("label 1",), "two": ("label 2",)}
    assert with_regions(manifest, recipe) == manifest


def test_a_killed_run_ends_with_the_same_bits(ask: Maker, recorder: Any, tmp_path: Path) -> None:
    settings = ["strategy.name=mean-teacher", "engine.save_minutes=0.00001", "engine.validate_every=9"]
    settings.append("data.sampling=class_balanced")

    def kill(step: int) -> None:
        if step == 2:
            raise Killed

    train(ask(*settings, name="whole", steps=4))
    with pytest.raises(Killed):
        train(ask(*settings, steps=4), recorder(kill))
    train(ask(*settings, steps=4, resume=True))
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "run"))
    assert all(value.equal(resumed[name]) for name, value in whole.items())


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        (
            {"a": ["label 1", "label 2"], "b": ["label 2", "label 3"]},
            "data.regions: regions 'a' and 'b' are not nested",
        ),
        ({"a": ["lable 1"]}, "data.regions: region 'a': unknown class 'lable 1': did you mean 'label 1'"),
        ({"a": ["label 1"]}, "data.regions: class 'label 2' is in no region"),
        ({"a": 3}, "data.regions: write auto, none, or each region with the names of its classes"),
        ("nothing", "data.regions: write auto, none, or"),
        (["a"], "data.regions: write auto, none, or"),
        ({"a": [1, 2]}, "data.regions: region 'a': unknown class '1'"),
    ],
)
def test_wrong_regions_are_refused_before_anything_is_written(
    request_for: Maker, slices: Path, tmp_path: Path, regions: Any, said: str
) -> None:
    with pytest.raises(RecipeError, match=said) as refused:
        train(request_for(data=slices, settings=[f"data.regions={json.dumps(regions)}"]))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_regions_given_twice_are_refused(ask: Maker) -> None:
    with pytest.raises(RecipeError, match=r"not readable as YAML: .a. is there twice"):
        train(ask("data.regions={a: [label 1], a: [label 2]}"))


def test_models_of_classes_are_written_as_before(request_for: Maker, slices: Path, tmp_path: Path) -> None:
    """Format 1 without a word of regions, which earlier versions read; of regions format 2, which they refuse."""
    train(request_for(data=slices, steps=1))
    train(request_for("nested", data=slices, steps=1, settings=[REGIONS]))
    headers = []
    for name in ("run", "nested"):
        with safe_open(tmp_path / name / "model.safetensors", framework="pt") as file:
            headers.append(json.loads(file.metadata()["delineate"]))
    assert (headers[0]["format"], "regions" in headers[0]) == (1, False)
    assert (headers[1]["format"], [region["name"] for region in headers[1]["regions"]]) == (2, ["all", "inner", "end"])
    damaged = artefact_format.load(tmp_path / "nested")
    damaged.classes = ClassTable(names=TABLE.names)
    with pytest.raises(ArtefactError, match="not the regions of the class table"):
        artefact_format.save(tmp_path / "other.safetensors", damaged)
