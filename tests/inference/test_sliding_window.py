"""Tiles and their blending: what a pointwise network says of the whole image, whatever the image's size."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.artefact.format import Artefact, load, save
from delineate.data.augment.patches import tiles
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import read_mask
from delineate.inference import predictor as predictor_module
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from delineate.inference.sliding_window import TileBlender, weights
from micro_method import Micro, MicroOptions, brightness

FOUR = ClassTable(names=("background", "a", "b", "c"))
SIDES = st.tuples(st.integers(1, 90), st.integers(1, 90))


def make(classes: int = 1, size: tuple[int, int] = (32, 40), fit: str = "patch", **spec: object) -> Predictor:
    details = InputSpec(size=size, fit=fit, **spec)
    table = ClassTable() if classes == 1 else FOUR
    return Predictor(Artefact(brightness(classes, details.in_channels), details, table), "cpu")


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(st.integers(1, 300), st.integers(1, 80))
def test_weights_sum_to_one_and_are_never_zero(length: int, tile: int) -> None:
    total = np.zeros(length)
    for (start, _), values in zip(tiles((length, 1), (tile, 1)), weights(length, tile), strict=True):
        assert values.min() > 0
        total[max(0, start) : max(0, start) + len(values)] += values
    assert np.allclose(total, 1, atol=1e-6)


@given(SIDES, SIDES, st.integers(1, 3))
def test_rows_come_in_order_and_once(image: tuple[int, int], tile: tuple[int, int], channels: int) -> None:
    truth = np.random.default_rng(0).random((channels, *image)).astype(np.float32)
    blending = TileBlender(image, tile)
    bands = []
    for top, left in blending.corners:
        part = np.full((channels, *tile), np.nan, np.float32)
        seen = truth[:, max(0, top) : top + tile[0], max(0, left) : left + tile[1]]
        part[:, max(0, -top) : max(0, -top) + seen.shape[1], max(0, -left) : max(0, -left) + seen.shape[2]] = seen
        if (rows := blending.add(part)) is not None:
            bands.append(rows)
    assert np.allclose(np.concatenate(bands, axis=1), truth, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(SIDES, st.sampled_from([1, 4]), st.integers(1, 7))
def test_a_pointwise_network_says_the_same_of_tiles_as_of_the_whole(
    image: tuple[int, int], classes: int, batch: int
) -> None:
    pixels = noise(*image)
    tiled, whole = make(classes), make(classes, size=image, fit="stretch")
    expected = whole.probabilities(pixels)
    prepared = tiled.prepare(pixels)
    assert np.allclose(tiled.probabilities(pixels), expected, atol=1e-5)
    assert np.allclose(tiled.probabilities_of(prepared, batch), tiled.probabilities_of(prepared), atol=1e-6)
    probabilities = tiled.probabilities(pixels)
    settled = probabilities[..., 0] >= 0.5 if classes == 1 else probabilities.argmax(-1)
    assert np.array_equal(tiled.predict(pixels), settled)


def test_an_image_that_is_one_tile_is_a_single_pass_to_the_bit() -> None:
    pixels, tiled = noise(32, 40), make(4)
    inputs = tiled.spec.to_unit(pixels)
    (once,) = tiled.working_probabilities([inputs])
    assert np.array_equal(tiled.probabilities_of(tiled.prepare(pixels)), once)


def test_a_tiny_image_is_seen_in_its_mirror() -> None:
    """A network that looks about itself finds no black beyond the image's edge."""
    torch.manual_seed(0)
    spec = InputSpec(size=(32, 32), fit="patch")
    seeing = Predictor(
        Artefact(Micro(MicroOptions(kernel=5), classes=1, in_channels=3).eval(), spec, ClassTable()), "cpu"
    )
    flat = np.full((3, 2, 3), 130, np.uint8)
    assert np.ptp(seeing.probabilities(flat)) < 1e-6
    assert seeing.predict(flat).shape == (3, 2)


def test_tiles_leave_no_seams() -> None:
    """A network with a field of view is disturbed at each tile's edge; plain means would show it a hundred times more."""
    torch.manual_seed(0)
    spec = InputSpec(size=(32, 32), fit="patch")
    method = Micro(MicroOptions(kernel=7), classes=1, in_channels=3).eval()
    pixels = cv2.GaussianBlur(noise(100, 100), (0, 0), 2)
    tiled = Predictor(Artefact(method, spec, ClassTable()), "cpu").probabilities(pixels)[..., 0]
    whole = InputSpec(size=(100, 100))
    single = Predictor(Artefact(method, whole, ClassTable()), "cpu").probabilities(pixels)[..., 0]
    assert np.abs(tiled - single).max() < 0.001


@pytest.mark.parametrize("scale", [0.5, 2.0])
@pytest.mark.parametrize("classes", [1, 4])
def test_scaled_images_come_back_at_their_own_size(scale: float, classes: int) -> None:
    pixels = np.full((90, 110), 40, np.uint8)
    pixels[40:, 60:] = 255
    predictor = make(classes, scale=scale)
    mask = predictor.predict(pixels)
    assert mask.shape == pixels.shape
    assert ((mask > mask[0, 0]) == (pixels == 255)).mean() > 0.95
    assert predictor.probabilities(pixels).shape[:2] == pixels.shape


def test_percentiles_are_those_of_the_whole_image() -> None:
    ramp = np.tile(np.linspace(0, 65535, 160).astype(np.uint16), (64, 1))
    spec = {"intensity": "percentile", "source_bits": 16, "channels": "gray"}
    tiled, whole = make(**spec), make(size=(64, 160), fit="stretch", **spec)
    assert np.allclose(tiled.probabilities(ramp), whole.probabilities(ramp), atol=1e-5)


def test_memory_of_a_very_large_image_is_that_of_a_row_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the image and its mask, both one byte a value; float probabilities of it all would be 4 × 4 bytes a pixel."""
    predictor = make(4, size=(64, 64), channels="gray")
    pixels = np.zeros((4000, 500), np.uint8)

    def flat(inputs: list[np.ndarray]) -> np.ndarray:
        return np.full((len(inputs), 4, 64, 64), 0.25, np.float32)

    monkeypatch.setattr(predictor, "working_probabilities", flat)
    prepared = predictor.prepare(pixels)
    tracemalloc.start()
    predictor.classes_of(prepared, *pixels.shape)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * pixels.size


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("probabilities", [False, True])
def test_files_are_predicted_as_images_are(tmp_path: Path, classes: int, scale: float, probabilities: bool) -> None:
    sizes = {"a": (50, 90), "b": (10, 9), "c": (100, 33)}
    (tmp_path / "in").mkdir()
    for number, (name, size) in enumerate(sizes.items()):
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), noise(*size, seed=number))
    predictor = make(classes, scale=scale)
    result = predict_files(
        predictor, [tmp_path / "in"], tmp_path / "out", overlay=True, probabilities=probabilities, batch_size=3
    )
    assert result.failures == ()
    for name, size in sizes.items():
        mask = read_mask(tmp_path / "out" / f"{name}.png")
        expected = predictor.predict(tmp_path / "in" / f"{name}.png")
        assert mask.shape == size
        assert np.array_equal(mask, expected * 255 if classes == 1 else expected)
        assert (tmp_path / "out" / "overlays" / f"{name}.png").is_file()
    assert (tmp_path / "out" / "probabilities").is_dir() == probabilities


def test_an_image_beyond_memory_is_a_failure_of_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, height in {"large": 100, "small": 20}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), noise(height, 30))
    original = Predictor.classes_of

    def classes_of(self, prepared, height, *rest, **named):
        if height == 100:
            raise MemoryError("Unable to allocate 9 GiB")
        return original(self, prepared, height, *rest, **named)

    monkeypatch.setattr(Predictor, "classes_of", classes_of)
    result = predict_files(make(), [tmp_path / "large.png", tmp_path / "small.png"], tmp_path / "out")
    assert [(file.name, file.error is None) for file in result.files] == [("large", False), ("small", True)]
    assert "does not fit into memory" in str(result.failures[0].error)


@pytest.mark.usefixtures("micro")
def test_the_artefact_knows_its_patches(tmp_path: Path) -> None:
    predictor, pixels = make(scale=0.5), noise(70, 80)
    save(tmp_path / "model.safetensors", predictor.artefact)
    again = Predictor(load(tmp_path / "model.safetensors"), "cpu")
    assert (again.spec.fit, again.spec.size, again.spec.scale) == ("patch", (32, 40), 0.5)
    assert np.array_equal(again.predict(pixels), predictor.predict(pixels))


def test_a_device_fills_its_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, seen = make(), []
    original = predictor.working_probabilities
    monkeypatch.setattr(predictor, "working_probabilities", lambda inputs: seen.append(len(inputs)) or original(inputs))
    predictor.predict(noise(64, 100))
    count, batch = len(tiles((64, 100), (32, 40))), predictor_module.BATCH_SIZE["cpu"]
    assert seen == [batch] * (count // batch) + [count % batch] * (count % batch > 0)
