"""What an image looks like in numbers: each answers to what it is named after, whatever the size and the channels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from delineate.data.core.image_statistics import measure_image, statistic_of

IMAGE = cv2.GaussianBlur(np.random.default_rng(0).random((96, 80, 3)).astype(np.float32), (0, 0), 2)


def changed(name: str, image: np.ndarray) -> float:
    return measure_image(image, "rgb")[name] - measure_image(IMAGE, "rgb")[name]


@pytest.mark.parametrize(
    ("name", "image", "sign"),
    [
        ("brightness", 0.7 * IMAGE, -1),
        ("p95", 0.7 * IMAGE, -1),
        ("contrast", 0.5 + 0.5 * (IMAGE - 0.5), -1),
        ("local_contrast", 0.5 + 0.5 * (IMAGE - 0.5), -1),
        ("noise", IMAGE + np.random.default_rng(1).normal(0, 0.05, IMAGE.shape), 1),
        ("band_finest", IMAGE + np.random.default_rng(1).normal(0, 0.05, IMAGE.shape), 1),
        ("edges", cv2.GaussianBlur(IMAGE, (0, 0), 2), -1),
        ("roughness", cv2.GaussianBlur(IMAGE, (0, 0), 2), -1),
        ("texture", cv2.GaussianBlur(IMAGE, (0, 0), 2), -1),
        ("across", cv2.blur(IMAGE, (9, 1)), -1),
        ("down", cv2.blur(IMAGE, (1, 9)), -1),
        ("red_green", IMAGE * np.array([1.2, 1, 1]), 1),
        ("yellow_blue", IMAGE * np.array([1, 1, 0.8]), 1),
        ("red_green_spread", np.repeat(IMAGE.mean(2, keepdims=True), 3, 2), -1),
        ("yellow_blue_spread", np.repeat(IMAGE.mean(2, keepdims=True), 3, 2), -1),
        ("dark", IMAGE * (np.arange(80) > 30)[:, None], 1),
        ("white", IMAGE + 2 * (np.arange(80) > 30)[:, None], 1),
        ("even", np.where((np.arange(80) > 30)[:, None], 0.5, IMAGE), 1),
        ("lighting", IMAGE * np.linspace(0.3, 1, 80)[:, None], 1),
    ],
)
def test_each_answers_to_what_it_is_called(name: str, image: np.ndarray, sign: int) -> None:
    assert sign * changed(name, np.clip(image, 0, 1).astype(np.float32)) > 0.02


def test_power_lies_in_the_band_of_its_frequency() -> None:
    for band, cycles in {"large": 0.05, "medium": 0.12, "small": 0.2, "finest": 0.4}.items():
        wave = 0.5 + 0.4 * np.sin(2 * np.pi * cycles * np.arange(128))
        found = measure_image(np.tile(wave, (128, 1))[..., None].astype(np.float32), "gray")
        powers = {name: value for name, value in found.items() if name.startswith("band_")}
        assert max(powers, key=powers.__getitem__) == f"band_{band}"


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 3), (9, 2), (64, 64)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_small_and_even_images_have_finite_numbers(size: tuple[int, int], value: float) -> None:
    found = measure_image(np.full((*size, 1), value, np.float32), "gray")
    assert np.isfinite(list(found.values())).all()
    assert found["brightness"] == pytest.approx(value)
    assert list(found) == list(measure_image(IMAGE[..., :1], "gray"))


def test_channels_are_known_by_their_order_and_names() -> None:
    colors = measure_image(IMAGE * np.array([1, 0.5, 0.2], np.float32), "rgb")
    swapped = measure_image((IMAGE * np.array([1, 0.5, 0.2], np.float32))[..., ::-1].copy(), "bgr")
    assert colors["red_green"] == pytest.approx(swapped["red_green"])
    assert colors["red_green"] > 0.1
    named = measure_image(IMAGE, ("t1", "flair", "t2"))
    assert named["brightness:flair"] == pytest.approx(float(IMAGE[..., 1].mean()), abs=1e-6)
    assert "red_green" not in named
    assert statistic_of("noise:flair") is not None
    assert statistic_of("noise:flair").what == "noise of flair"  # type: ignore[union-attr]
    assert statistic_of("tint") is None


def test_values_are_shown_in_their_own_unit() -> None:
    found = measure_image(IMAGE, "rgb")
    assert statistic_of("contrast").shown(found["contrast"]) == f"{IMAGE.mean(2).std():.3g}"  # type: ignore[union-attr]
    assert statistic_of("noise").shown(np.log(1e-4)) == "0"  # type: ignore[union-attr]
    assert statistic_of("dark").shown(0.5) == "25 %"  # type: ignore[union-attr]
