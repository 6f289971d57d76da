"""Pictures of floats: read by percentiles, or between the values that their owner states; never guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError, RecipeError
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.core.samples import Sample
from delineate.data.doctor.check import check
from delineate.data.loading.open_data import open_data
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.files import predict_files
from delineate.inference.image_input import remark
from delineate.inference.predictor import load

Maker = Callable[..., TrainRequest]
SIZE = 40


def made(root: Path, kind: str, number: int = 12) -> Path:
    """Bright discs; the pictures as 8-bit PNG, as floats in 0…1 (`tif`), or as an array of them (`npy`)."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for at in range(number):
        rng = np.random.default_rng(at)
        mask = np.zeros((SIZE, SIZE), np.uint8)
        cv2.circle(mask, (12 + at, 20), 7, 1, -1)
        picture = (rng.integers(20, 60, mask.shape) + 120 * mask).astype(np.uint8)
        cv2.imwrite(str(root / "masks" / f"p{at}.png"), mask * 255)
        if kind == "npy":
            np.save(root / "images" / f"p{at}.npy", picture / np.float32(255))
        else:
            cv2.imwrite(str(root / "images" / f"p{at}.{kind}"), picture / np.float32(255) if kind == "tif" else picture)
    return root


def units(manifest: Manifest, spec: InputSpec, place: Path) -> np.ndarray:
    cache = open_cache(manifest, [Sample(case) for case in manifest.cases], spec, Store.at(place))
    return np.stack([spec.to_unit(cache.image(at)) for at in range(len(cache))])


@pytest.mark.parametrize("kind", ["tif", "npy"])
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_a_stated_range_is_what_bytes_are(tmp_path: Path, kind: str, fit: Any) -> None:
    plain, census = open_data(made(tmp_path / "png", "png"))
    floats, own = open_data(made(tmp_path / kind, kind))
    assert (census.bits, own.bits, own.span) == (8, 32, pytest.approx((20 / 255, 179 / 255)))
    stated = InputSpec(
        channels="gray",
        size=(SIZE, SIZE),
        fit=fit,
        intensity="window",
        window_level=0.5,
        window_width=1,
        source_bits=32,
    )
    found = units(floats, stated, tmp_path)
    wanted = units(plain, InputSpec(channels="gray", size=(SIZE, SIZE), fit=fit), tmp_path)
    assert np.abs(found - wanted).max() < 1e-6


@pytest.mark.parametrize("settings", [[], ["input.intensity=window", "input.window_level=0.5", "input.window_width=1"]])
def test_from_floats_to_masks(settings: list[str], request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    data = made(tmp_path / "set", "tif")
    request = request_for("run", data=data, steps=4, settings=settings)
    train(request, recorder())
    model = load(request.out, device="cpu")
    assert (model.spec.intensity, model.spec.source_bits) == ("window" if settings else "percentile", 32)
    done = predict_files(model, [data / "images"], tmp_path / "out", overlay=True)
    assert not done.failures
    assert len(done.files) == 12
    assert {file.remark for file in done.files} == {None}
    bytes_given = predict_files(model, [made(tmp_path / "png", "png") / "images" / "p0.png"], tmp_path / "other")
    assert "8-bit gray image given to a model trained on float gray images" in str(bytes_given.files[0].remark)


def test_the_whole_range_of_floats_is_refused_before_training(
    request_for: Maker, recorder: Any, tmp_path: Path
) -> None:
    data = made(tmp_path / "set", "tif")
    with pytest.raises(RecipeError, match="range has no meaning for pictures of floats or signed numbers"):
        train(request_for("run", data=data, settings=["input.intensity=range"]), recorder())
    assert not request_for("run").out.exists()


def test_a_model_of_bytes_refuses_floats_or_says_what_it_does(
    request_for: Maker, recorder: Any, tmp_path: Path
) -> None:
    floats = made(tmp_path / "set", "tif", 1) / "images"
    train(request_for("run", steps=1), recorder())
    done = predict_files(load(request_for("run").out, device="cpu"), [floats], tmp_path / "out")
    assert "input.intensity=range has no meaning for float32 pixels" in str(done.files[0].error)
    spec = InputSpec(intensity="percentile")
    assert "float gray image given to a model trained on 8-bit" in str(remark(np.zeros((4, 4), np.float32), spec))


def test_floats_among_bytes_are_refused(tmp_path: Path) -> None:
    root = made(tmp_path / "set", "png", 6)
    cv2.imwrite(str(root / "images" / "p0.tif"), cv2.imread(str(root / "images" / "p0.png"), 0) / np.float32(255))
    (root / "images" / "p0.png").unlink()
    with pytest.raises(
        DataError, match=r"pictures of floats or signed numbers \(p0\) and other images \(p1, p2, p3 and 2 more\)"
    ):
        open_data(root)


def test_the_check_shows_the_values_and_how_to_state_a_range(tmp_path: Path) -> None:
    found = check(made(tmp_path / "set", "tif"))
    notes = [str(finding) for finding in found.findings if finding.severity == "note"]
    assert any(
        "values of their own, from 0.0784314 to 0.701961" in note
        and "input.window_level=0.390196 --set input.window_width=0.623529" in note
        for note in notes
    )
    assert not found.dark
