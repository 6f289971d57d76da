"""The summary of training images: its distances, its threshold, and what it must not disturb."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import delineate
from delineate.artefact.encoder_cloud import EncoderCloud
from delineate.artefact.format import load, read_header
from delineate.artefact.training_images import ENTRY, LEVELS, TrainingImages
from delineate.common.errors import ArtefactError, DataError, DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case
from delineate.data.core.samples import Sample
from delineate.engine.clouds import shrunk_covariance
from delineate.engine.describe_run import describe_run
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.engine.training_images import Shown, summarize
from delineate.inference.measuring import measured, seen_parts, vector_of
from delineate.inference.outside import compare

Maker = Callable[..., TrainRequest]
SPEC = InputSpec(channels="gray", size=(32, 32))


def image(seed: int, low: float = 0.2, high: float = 0.6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level, noise = rng.uniform(low, high), rng.uniform(0.02, 0.06)
    return (255 * np.clip(level + rng.normal(0, noise, (32, 32, 1)), 0, 1)).astype(np.uint8)


def shown(first: int, number: int, *, slices: int = 0, group: str | None = None) -> Shown:
    pictures = [image(first + at) for at in range(number)]
    cases = [Case(id=f"c{at // max(1, slices)}", images=("a.png",), group=group) for at in range(number)]
    samples = [Sample(case, at if slices else None, size=(32, 32)) for at, case in enumerate(cases)]
    return Shown(samples, pictures.__getitem__)


def drift_of(found: TrainingImages, pixels: np.ndarray) -> Any:
    vector = vector_of(measured([SPEC.to_unit(pixels)], SPEC), found.names)
    assert vector is not None
    return compare(found, [vector], (32, 32))


def test_the_threshold_keeps_the_rate_and_finds_what_is_other() -> None:
    found = summarize(shown(0, 120), shown(1000, 60), SPEC)
    assert found is not None
    assert found.threshold is not None
    assert (found.images, found.held_out, found.groups) == (120, 60, None)
    far = [drift_of(found, image(seed)).outside for seed in range(2000, 2100)]
    assert np.mean(far) <= 0.12
    dark = drift_of(found, image(7, 0.02, 0.04))
    assert dark.reason.startswith("darker than the training images: mean brightness 0.0")
    noisy = np.clip(image(7) + np.random.default_rng(0).normal(0, 60, (32, 32, 1)), 0, 255).astype(np.uint8)
    assert drift_of(found, noisy).outside


def test_the_threshold_is_the_conformal_order_statistic() -> None:
    held_out = shown(1000, 39)
    found = summarize(shown(0, 50), held_out, SPEC)
    assert found is not None
    assert found.threshold is not None
    distances = sorted(drift_of(found, held_out.pixels(at)).distance for at in range(39))
    assert distances[37] == pytest.approx(1)  # the 38th of 39: (39 + 1) · 0.95
    assert found.statistics.held_out[-1] == pytest.approx(distances[-1] * found.threshold, rel=1e-4)


def test_too_few_held_out_cases_give_no_threshold() -> None:
    found = summarize(shown(0, 30), shown(1000, 19), SPEC)
    assert found is not None
    assert found.threshold is None
    assert drift_of(found, image(7)) is None
    assert "with 19 held-out cases, fewer than the 20 that a threshold needs" in found.words
    assert summarize(shown(0, 30), None, SPEC) is not None
    assert summarize(shown(0, 1), None, SPEC) is None


def test_slices_count_as_their_volume() -> None:
    found = summarize(shown(0, 60), shown(1000, 200, slices=10, group="p1"), SPEC)
    assert found is not None
    assert (found.held_out, found.groups) == (20, 1)
    assert found.held_out_words == "20 held-out cases of 1 group"


class Quarters:
    """An encoder that tells the brightness of each quarter of an image."""

    def of_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([[one[:16, :16].mean(), one[:16, 16:].mean(), one[16:, :16].mean()] for one in images])


def lit(at: int, top: float = 1.2) -> np.ndarray:
    return np.clip(image(at) * np.where(np.arange(32) < 16, top, 0.8)[:, None, None], 0, 255).astype(np.uint8)


def test_the_encoder_finds_what_statistics_do_not() -> None:
    training = Shown(shown(0, 80).samples, lit)
    held_out = Shown(shown(0, 40).samples, lambda at: lit(900 + at))
    found = summarize(training, held_out, SPEC, Quarters())
    assert found is not None
    assert found.encoder is not None
    assert (found.encoder.images, found.encoder.cases) == (80, 40)
    turned = lit(2000)[::-1]
    vector = vector_of(measured([SPEC.to_unit(turned)], SPEC), found.names)
    features = Quarters().of_images([SPEC.to_unit(turned)])[0]
    assert vector is not None
    plain, both = (compare(found, [vector], (32, 32), features=given) for given in ([], [features]))
    assert plain is not None
    assert both is not None
    assert not plain.outside
    assert both.encoder
    assert both.reason == "its content, as the network's encoder sees it, is unlike that of the training images"
    usual = Quarters().of_images([SPEC.to_unit(lit(2000))])[0]
    again = compare(found, [vector], (32, 32), features=[usual])
    assert again is not None
    assert not again.outside
    assert summarize(training, Shown(held_out.samples[:19], held_out.pixels), SPEC, Quarters()).encoder is None  # type: ignore[union-attr]


def test_distances_of_features_are_those_of_the_covariance() -> None:
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(5, 5)))[0].T[:2]
    cloud = EncoderCloud(
        center=(1, 2, 3, 4, 5), scale=(1, 2, 1, 2, 1), directions=directions.tolist(), variances=(4, 2), rest=0.5
    )
    covariance = directions.T @ np.diag([4, 2]) @ directions + 0.5 * (np.eye(5) - directions.T @ directions)
    vector = rng.normal(size=5)
    scaled = (vector - [1, 2, 3, 4, 5]) / [1, 2, 1, 2, 1]
    assert cloud.distances(vector)[0] == pytest.approx(np.sqrt(scaled @ np.linalg.inv(covariance) @ scaled / 5))
    with pytest.raises(ValueError, match="differ in number"):
        EncoderCloud(center=(1,), scale=(1, 1), directions=(), variances=(), rest=1)


def test_equal_images_make_a_finite_summary() -> None:
    same = Shown(shown(0, 30).samples, lambda _: np.full((32, 32, 1), 90, np.uint8))
    found = summarize(same, same, SPEC)
    assert found is not None
    assert found.threshold is not None
    assert drift_of(found, image(3)).outside
    assert not drift_of(found, np.full((32, 32, 1), 90, np.uint8)).outside


def test_the_covariance_is_that_of_ledoit_and_wolf() -> None:
    centered = np.random.default_rng(0).normal(size=(40, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
    centered -= centered.mean(0)
    plain = centered.T @ centered / 40
    middle = np.trace(plain) / 5 * np.eye(5)
    error = np.mean([((np.outer(one, one) - plain) ** 2).sum() for one in centered]) / 40
    share = min(1, error / ((plain - middle) ** 2).sum())
    assert np.allclose(shrunk_covariance(centered), share * middle + (1 - share) * plain)


def test_patches_and_padding_are_measured_as_the_image() -> None:
    pixels = image(5).repeat(4, 0).repeat(4, 1)
    patches = InputSpec(channels="gray", size=(32, 32), fit="patch")
    whole = measured(seen_parts(pixels, patches, 128, 128), patches)
    assert whole["brightness"] == pytest.approx(float(pixels.mean()) / 255, abs=0.02)
    framed = InputSpec(channels="gray", size=(64, 64), fit="letterbox")
    ready = framed.to_unit(framed.working_pixels(image(5)[:16]))
    assert measured(seen_parts(ready, framed, 16, 32), framed)["dark"] == 0


def test_a_run_has_a_summary_and_drift_makes_the_same(request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    train(request_for(steps=4), recorder())
    run = request_for().out
    noted = read_header(run).provenance[ENTRY]
    before = load(run).method.state_dict()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    found = delineate.drift(run)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]  # type: ignore[index]  # noqa: NPY002
    assert read_header(run).provenance[ENTRY] == found.model_dump(mode="json") == noted
    assert (found.images, found.held_out, found.threshold) == (16, 2, None)
    assert (found.height, found.width) == ((48, 48), (40, 40))
    assert all(torch.equal(value, before[name]) for name, value in load(run).method.state_dict().items())
    assert "Of the training images 16 are summarized; with 2 held-out cases, fewer" in (run / "card.md").read_text()
    assert delineate.info(run).to_json()["training_images"]["statistics"].keys() == set(found.names)
    assert len(LEVELS) == len(noted["quantiles"][0])
    with pytest.raises(ArtefactError, match="is a file; give the model's run folder"):
        describe_run(run / "model.safetensors")
    content = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(json.dumps(json.loads(content) | {"root": str(tmp_path / "gone")}))
    model = (run / "model.safetensors").read_bytes()
    with pytest.raises(DataError, match="is not there"):
        describe_run(run)
    assert (run / "model.safetensors").read_bytes() == model
    (run / "manifest.json").rename(tmp_path / "manifest.json")
    with pytest.raises(DelineateError, match="is no run folder"):
        describe_run(run)
