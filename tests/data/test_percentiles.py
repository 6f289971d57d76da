"""Intensity rules measure the image: never the letterbox's padding, nor what patches show beyond the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import Fit, InputSpec
from delineate.data.loading.open_data import open_data
from delineate.data.loading.patch_loader import make_loader


def blurred(seed: int, height: int, width: int, *, offset: int = 20000) -> Any:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 9000, (height, width)), (0, 0), 2)
    return np.clip(noise + offset, 0, 65535).astype(np.uint16)


def inside(spec: InputSpec, unit: Any, height: int, width: int) -> Any:
    placed = spec.placement(height, width)
    if placed is None:
        return unit
    top, left, inner_h, inner_w = placed
    return unit[top : top + inner_h, left : left + inner_w]


def by_percentiles(spec: InputSpec, image: Any) -> Any:
    """The rule by itself: of the image as it is resized, without anything around it."""
    placed = spec.placement(*image.shape)
    size = spec.working_size(*image.shape) if placed is None else placed[2:]
    pixels = InputSpec(channels=spec.channels, size=size).working_pixels(image).astype(np.float64)
    low, high = np.percentile(pixels, (0.5, 99.5))
    return np.clip((pixels - low) / max(high - low, 1e-6), 0, 1)


@given(
    seed=st.integers(0, 999),
    height=st.integers(8, 120),
    width=st.integers(8, 120),
    size=st.tuples(st.integers(8, 64), st.integers(8, 64)),
    fit=st.sampled_from(["stretch", "letterbox"]),
    channels=st.sampled_from(["gray", "rgb"]),
)
@settings(max_examples=150, deadline=None)
def test_percentiles_are_those_of_the_image(
    seed: int, height: int, width: int, size: tuple[int, int], fit: Fit, channels: Any
) -> None:
    spec = InputSpec(channels=channels, size=size, fit=fit, intensity="percentile", source_bits=16)
    unit = spec.to_unit(spec.working_pixels(blurred(seed, height, width)))
    seen = inside(spec, unit, height, width)
    assert np.abs(seen - by_percentiles(spec, blurred(seed, height, width))).max() <= 1.01 / 65535
    assert unit.sum() == pytest.approx(seen.sum(), rel=1e-5)  # padding is black


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_letterbox_without_padding_is_no_letterbox(dtype: Any) -> None:
    image = (blurred(3, 64, 64) / np.float64(65535) * np.iinfo(dtype).max).astype(dtype)
    plain, boxed = (
        InputSpec(channels="gray", size=(32, 32), fit=fit, intensity="percentile") for fit in ("stretch", "letterbox")
    )
    given, kept = (spec.to_unit(spec.working_pixels(image)) for spec in (plain, boxed))
    assert np.abs(given - kept).max() <= 0.51 / np.iinfo(dtype).max


def test_models_of_the_first_release_go_on_as_they_learned() -> None:
    image = blurred(4, 128, 32)
    new = InputSpec(channels="gray", size=(32, 32), fit="letterbox", intensity="percentile")
    old = new.model_copy(update={"padding_counts": True})
    unit = inside(old, old.to_unit(old.working_pixels(image)), 128, 32)
    assert np.percentile(unit, 0.5) > 0.2  # the black bars were its darkest values
    assert np.percentile(inside(new, new.to_unit(new.working_pixels(image)), 128, 32), 0.5) < 0.02


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patch"])
@pytest.mark.parametrize(
    "rule",
    [
        {"intensity": "percentile"},
        {"intensity": "window", "window_level": 21000, "window_width": 9000},
        {"intensity": "zscore", "zscore_clip": 1.5},
    ],
    ids=lambda rule: rule["intensity"],
)
def test_training_sees_what_prediction_sees(tmp_path: Path, write: Any, fit: Fit, rule: dict[str, Any]) -> None:
    for number in range(6):
        write(tmp_path / "set/images" / f"{number}.png", blurred(number, 40, 20 + 4 * number))
        mask = np.zeros((40, 20 + 4 * number), np.uint8)
        mask[5:20, 5:15] = 255
        write(tmp_path / "set/masks" / f"{number}.png", mask)
    manifest, census = open_data(tmp_path / "set")
    spec = InputSpec(channels="gray", size=(48, 48), fit=fit, source_bits=16, **rule)
    samples = census.samples(manifest.cases, manifest.labels)
    cache = open_cache(manifest, samples, spec, Store.at(tmp_path / "cache"))
    batches = make_loader(cache, spec, None, batch_size=2, seed=0, workers=1).once()
    seen = {name: image for batch in batches for name, image in zip(batch.sample_id, batch.image, strict=True)}
    for case in manifest.cases:
        image = blurred(int(case.id), 40, 20 + 4 * int(case.id))
        if fit != "patch":
            assert np.array_equal(seen[case.id], spec.to_unit(spec.working_pixels(image)))
        else:  # one patch around the whole image, mirrored beyond it
            top, left = (48 - image.shape[0]) // 2, (48 - image.shape[1]) // 2
            part = seen[case.id][top : top + image.shape[0], left : left + image.shape[1]]
            whole = spec.model_copy(update={"size": image.shape, "fit": "stretch"})
            assert np.abs(part - whole.to_unit(whole.working_pixels(image))).max() < 1e-5


def test_the_cache_tells_the_two_rules_apart() -> None:
    spec = InputSpec(fit="letterbox", intensity="percentile")
    assert spec.decisive != spec.model_copy(update={"intensity": "range"}).decisive
    stretch = InputSpec(intensity="percentile")
    assert stretch.decisive == stretch.model_copy(update={"intensity": "range"}).decisive
