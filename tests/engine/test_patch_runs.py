"""Runs on patches: what they leave, that they resume to the bit, how images are validated, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from delineate.common.errors import RecipeError
from delineate.data.augment.patches import cut, tiles
from delineate.data.cache.cache import Cache
from delineate.data.core.manifest import Case, ClassTable, Manifest
from delineate.data.core.samples import Sample
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.engine.validation import TiledCounts, count_cases
from delineate.inference.predictor import load
from delineate.nn.output import Output

Maker = Callable[..., TrainRequest]
REGIONS = ClassTable(names=("background", "a", "b")).with_regions({"both": ["a", "b"], "b": ["b"]})
OUTPUTS = [Output(1), Output(3), Output.of(REGIONS)]
PATCH = ["input.fit=patch", "data.patches_per_image=2"]


class Killed(BaseException):
    """Stands for a kill."""


def test_a_run_on_patches_is_complete(request_for: Maker, recorder: Any) -> None:
    result = train(request_for(steps=10, settings=[*PATCH, "engine.validate_every=0.5"]), recorder())
    run = request_for().out
    assert Recipe.load(run / "recipe.yaml").data.patches_per_image == 2
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(4, 0.5), (8, 1.0), (10, 1.25)]
    model, manifest = load(run, device="cpu"), Manifest.load(run / "manifest.json")
    assert (model.spec.fit, model.spec.size) == ("patch", (32, 32))
    for case in manifest.split("val"):
        saved = cv2.imread(str(run / "validation" / "masks" / f"{case.id}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(saved > 0, model.predict(manifest.path(case.images[0])) > 0)
        panel = cv2.imread(str(run / "validation" / "panels" / case.id / "probability.png"))
        assert panel.shape == (32, 32, 3)
        assert list((run / "validation" / "overlays").glob(f"*{case.id}.png"))
    assert 0 <= result.dice <= 1


def test_a_killed_run_on_patches_ends_with_the_same_bits(request_for: Maker, recorder: Any) -> None:
    settings = [*PATCH, "input.scale=0.9", "engine.save_minutes=0.00001", "strategy.ema=0.9"]

    def kill(step: int) -> None:
        if step == 5:
            raise Killed

    train(request_for("whole", settings=settings), recorder())
    with pytest.raises(Killed):
        train(request_for("killed", settings=settings), recorder(kill))
    train(request_for("killed", settings=settings, resume=True), recorder())
    ours, theirs = (load_file(request_for(name).out / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("method", ["unet", "condseg"])
def test_two_stages_and_several_classes(
    method: str, request_for: Maker, recorder: Any, tmp_path: Path, discs: Path
) -> None:
    for name in ("images", "masks"):
        (tmp_path / "three" / name).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((50, 70 + number), np.uint8)
        mask[10:30, 10:30], mask[25:45, 40:60] = 1, 2
        cv2.imwrite(str(tmp_path / "three" / "images" / f"{number}.png"), mask * 100)
        cv2.imwrite(str(tmp_path / "three" / "masks" / f"{number}.png"), mask)
    small = ["engine.batch_size=4", "method.encoder.name=resnet10t"]
    small += ["method.width=8"] if method == "condseg" else ["method.decoder_channels=[16, 16, 8, 8, 8]"]
    request = request_for(method=method, steps=4)
    train(TrainRequest(**{**request.__dict__, "data": tmp_path / "three", "settings": [*PATCH, *small]}), recorder())
    assert load(request.out, device="cpu").predict(np.zeros((41, 93), np.uint8)).shape == (41, 93)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["input.fit=patches"], "input.fit: .*'patch'"),
        ([*PATCH, "input.scale=0"], "input.scale: .*greater than 0"),
        ([*PATCH, "input.scale=.inf"], "input.scale: .*finite"),
        (["input.scale=0.5"], r"input\.scale: only with input\.fit=patch"),
        (["data.patches_per_image=3"], r"data\.patches_per_image: only with input\.fit=patch"),
        ([*PATCH, "data.patches_per_image=0"], "data.patches_per_image: .*greater than or equal to 1"),
        ([*PATCH, "data.foreground=1.2"], "data.foreground: .*less than or equal to 1"),
    ],
)
def test_wrong_settings_are_one_line(settings: list[str], words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        resolve("unet", "tiny", {}, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 16, "settings": PATCH}, "at least 32"),
        ({"size": 64, "settings": PATCH}, r"64×64 are larger than every image \(the largest is 48×40 at input.scale=1"),
        ({"settings": [*PATCH, "input.scale=0.5"]}, r"the largest is 24×20 at input.scale=0.5"),
    ],
)
def test_patches_that_cannot_be_write_nothing(
    changes: dict[str, Any], words: str, request_for: Maker, recorder: Any
) -> None:
    with pytest.raises(RecipeError, match=words):
        train(request_for(**changes), recorder())
    assert not request_for().out.exists()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=3), st.sampled_from(OUTPUTS))
def test_tiled_counts_are_those_of_whole_images(sizes: list[tuple[int, int]], output: Output) -> None:
    """For logits that are a function of the pixel, whichever tile it is seen in."""
    tile, rng, channels = (16, 24), np.random.default_rng(0), output.channels
    logits = [rng.normal(size=(*size, channels)) for size in sizes]
    masks = [rng.choice([0, 1, max(1, channels - 1), 255], size).astype(np.uint8) for size in sizes]
    samples = tuple(Sample(Case(id=str(number), images=("x",), masks=("m",))) for number in range(len(sizes)))
    count = TiledCounts(Cache(samples, tuple(logits), tuple(masks)), tile, output)
    stream = [
        torch.from_numpy(cut(values, corner, tile)).permute(2, 0, 1)
        for values, size in zip(logits, sizes, strict=True)
        for corner in tiles(size, tile)
    ]
    found = [
        case for at in range(0, len(stream), 4) for case in count(torch.stack(stream[at : at + 4]), torch.empty(0))
    ]
    whole = [
        count_cases(torch.from_numpy(values).permute(2, 0, 1)[None], torch.from_numpy(mask)[None].long(), output)[0]
        for values, mask in zip(logits, masks, strict=True)
    ]
    for tiled, one in zip(found, whole, strict=True):
        assert list(tiled.rows()) == list(one.rows())
