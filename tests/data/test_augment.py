"""Augmentation: drawn parameters, replayed by a pure function that keeps image and mask together."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from delineate.data.augment.apply import apply, colour_matrix, warp_matrix
from delineate.data.augment.settings import AugmentParameters, AugmentSettings, sample

EVERYTHING = AugmentSettings(
    flip_horizontal=0.5,
    flip_vertical=0.5,
    warp=0.8,
    rotate=180,
    scale=(0.7, 1.4),
    shift=0.1,
    shear=10,
    elastic=0.5,
    colour=0.8,
    brightness=0.2,
    contrast=0.3,
    saturation=0.4,
    hue=0.1,
    gamma=0.4,
    grey=0.2,
    blur=0.3,
    noise=0.3,
    dropout=0.4,
)
WARP = AugmentSettings(warp=1, rotate=180, scale=(0.7, 1.4), shift=0.1, shear=10, flip_horizontal=0.5)
seeds = st.integers(0, 2**32 - 1)
channels = st.sampled_from([1, 3])
kinds = st.sampled_from([np.uint8, np.float32])


def picture(seed: int, count: int, kind: Any, shape: tuple[int, int] = (24, 36)) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, count), np.uint8)
    mask = rng.choice(np.array([0, 1, 5, 255], np.uint8), shape)
    return (image if kind == np.uint8 else (image / np.float32(255))), mask


def draw(options: AugmentSettings, seed: int, shape: tuple[int, int] = (24, 36)) -> AugmentParameters:
    return sample(options, np.random.default_rng(seed), *shape)


@given(seeds, channels, kinds)
@settings(max_examples=60, deadline=None)
def test_types_ranges_and_labels_are_kept(seed: int, count: int, kind: Any) -> None:
    image, mask = picture(seed, count, kind)
    before = image.copy(), mask.copy()
    found, labels = apply(image, mask, draw(EVERYTHING, seed))
    assert (found.shape, found.dtype, labels.shape, labels.dtype) == (image.shape, kind, mask.shape, np.uint8)
    assert found.min() >= 0
    assert found.max() <= (255 if kind == np.uint8 else 1)
    assert set(np.unique(labels)) <= {0, *np.unique(mask)}
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


@given(seeds, channels, kinds)
@settings(max_examples=40, deadline=None)
def test_a_logged_sample_can_be_made_again(seed: int, count: int, kind: Any) -> None:
    image, mask = picture(seed, count, kind)
    parameters = draw(EVERYTHING, seed)
    replayed = AugmentParameters.model_validate_json(parameters.model_dump_json())
    assert replayed == parameters
    first, second = apply(image, mask, parameters), apply(image, mask, replayed)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


@given(st.booleans(), st.booleans(), channels, kinds, seeds)
@settings(max_examples=30, deadline=None)
def test_flips_are_involutions(horizontal: bool, vertical: bool, count: int, kind: Any, seed: int) -> None:
    image, mask = picture(seed, count, kind)
    flip = AugmentParameters(flip_horizontal=horizontal, flip_vertical=vertical)
    once = apply(image, mask, flip)
    twice = apply(*once, flip)
    assert np.array_equal(twice[0], image)
    assert np.array_equal(twice[1], mask)
    if horizontal and not vertical:
        assert np.array_equal(once[0], image[:, ::-1])


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_image_and_mask_stay_aligned(seed: int) -> None:
    """An image that is its own mask must agree with it after any warp, but for the interpolated rim."""
    mask = np.zeros((64, 48), np.uint8)
    cv2.ellipse(mask, (20, 35), (14, 9), 30, 0, 360, 1, -1)
    image = mask[..., None] * np.uint8(255)
    found, labels = apply(image, mask, draw(WARP, seed, mask.shape))
    sure = (found[..., 0] < 60) | (found[..., 0] > 195)
    assert np.array_equal((found[..., 0] > 127)[sure], labels.astype(bool)[sure])
    assert sure.mean() > 0.9


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_composed_flips_equal_separate_ones(seed: int) -> None:
    """A flip inside the warp matrix is the same as flipping first."""
    image, mask = picture(seed, 3, np.uint8)
    parameters = draw(WARP, seed).model_copy(update={"flip_horizontal": True})
    whole = apply(image, mask, parameters)
    flipped = apply(image, mask, AugmentParameters(flip_horizontal=True))
    parts = apply(*flipped, parameters.model_copy(update={"flip_horizontal": False}))
    assert (np.abs(whole[0].astype(int) - parts[0]) <= 8).mean() > 0.99  # OpenCV interpolates in steps of 1/32 pixel
    assert (whole[1] == parts[1]).mean() > 0.98


def test_the_warp_turns_about_the_centre() -> None:
    matrix = warp_matrix(AugmentParameters(rotate=90, scale=2), 11, 21)
    assert np.allclose(matrix @ [10, 5, 1], [10, 5])
    assert np.allclose(matrix @ [11, 5, 1], [10, 3])  # to the right becomes upwards: anticlockwise
    assert np.allclose(warp_matrix(AugmentParameters(shift=(0.5, 0.1)), 10, 20), [[1, 0, 2], [0, 1, 5]])


def test_nothing_drawn_returns_the_inputs_themselves() -> None:
    image, mask = picture(0, 3, np.uint8)
    assert AugmentSettings().changes_nothing
    parameters = draw(AugmentSettings(), 0)
    assert parameters == AugmentParameters()
    found, labels = apply(image, mask, parameters)
    assert found is image
    assert labels is mask


def test_borders() -> None:
    image, mask = np.full((10, 10, 3), 200, np.uint8), np.full((10, 10), 2, np.uint8)
    shifted = AugmentParameters(shift=(0.0, 0.4))
    black, labels = apply(image, mask, shifted)
    assert (black[:, :4] == 0).all()
    assert (labels[:, :4] == 0).all()
    assert (black[:, 4:] == 200).all()
    mirrored, labels = apply(image, mask, shifted.model_copy(update={"border": "reflect"}))
    assert (mirrored == 200).all()
    assert (labels == 2).all()


@given(st.floats(-0.5, 0.5), st.floats(0, 2))
def test_greys_keep_their_value_under_hue_and_saturation(hue: float, saturation: float) -> None:
    matrix = colour_matrix(AugmentParameters(hue=hue, saturation=saturation))
    assert np.allclose(matrix @ [0.3, 0.3, 0.3, 1], 0.3)
    luma = np.array([0.299, 0.587, 0.114])
    assert np.allclose(luma @ matrix[:, :3], luma)


def test_colour_by_known_values() -> None:
    mask = np.zeros((1, 1), np.uint8)

    def coloured(rgb: list[int], **parameters: Any) -> list[int]:
        image = np.array([[rgb]], np.uint8)
        byte = apply(image, mask, AugmentParameters(**parameters))[0][0, 0]
        real = apply(image / np.float32(255), mask, AugmentParameters(**parameters))[0][0, 0]
        assert np.abs(byte / 255 - real).max() < 0.004
        return byte.tolist()

    assert coloured([100, 150, 200], brightness=0.1) == [126, 176, 226]  # 25.5 more, half to even
    assert coloured([27, 127, 227], contrast=0.5) == [77, 127, 177]
    assert coloured([100, 150, 200], grey=True) == [141, 141, 141]
    assert coloured([100, 150, 200], saturation=0.0) == [141, 141, 141]
    turned = coloured([150, 60, 60], hue=1 / 3)
    assert turned[1] > turned[0]
    assert turned[1] > turned[2]
    assert coloured([10, 128, 250], brightness=0.5) == [138, 255, 255]


def test_grey_pictures_have_brightness_and_contrast_only() -> None:
    image, mask = np.array([[[40], [200]]], np.uint8), np.zeros((1, 2), np.uint8)
    assert np.array_equal(apply(image, mask, AugmentParameters(hue=0.2, saturation=0.1, grey=True))[0], image)
    assert apply(image, mask, AugmentParameters(contrast=0.5))[0].ravel().tolist() == [84, 164]


def test_gamma_by_known_values() -> None:
    image, mask = np.array([[[0], [64], [128], [255]]], np.uint8), np.zeros((1, 4), np.uint8)
    assert apply(image, mask, AugmentParameters(gamma=2.0))[0].ravel().tolist() == [0, 16, 64, 255]
    real = apply(image / np.float32(255), mask, AugmentParameters(gamma=0.5))[0]
    assert real.dtype == np.float32
    assert np.allclose(real.ravel() ** 2, image.ravel() / 255, atol=1e-6)
    drawn = [draw(AugmentSettings(gamma=1, gamma_range=(0.5, 1.5)), seed).gamma for seed in range(200)]
    assert 0.5 <= min(drawn) < 0.55
    assert 1.45 < max(drawn) <= 1.5


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_an_elastic_deformation_moves_pixels_by_less_than_its_strength(seed: int) -> None:
    """The image holds each pixel's own place, so that what is found there tells where it came from."""
    rows, columns = np.mgrid[:96, :64].astype(np.float32)
    image = np.stack([columns / 96, rows / 96, 0 * rows], 2)
    mask = (rows.astype(int) // 8 % 2).astype(np.uint8)
    parameters = AugmentParameters(elastic_alpha=20, elastic_sigma=4, elastic_seed=seed, border="reflect")
    found, labels = apply(image, mask, parameters)
    moved = 96 * (found - image)[8:-8, 8:-8, :2]
    assert 0.3 < moved.std() < 3, (
        "a uniform field of deviation .58, smoothed by σ = 4, leaves .58 / (2·4·√π) of it: 0.8 pixels"
    )
    assert np.abs(moved).max() < 20
    assert np.abs(np.diff(moved, axis=0)).max() < 1.5, "neighbours move together"
    came_from = np.rint(96 * found[8:-8, 8:-8, 1]).astype(int)
    assert (labels[8:-8, 8:-8] == came_from // 8 % 2).mean() > 0.97, "image and mask move alike"


def test_an_elastic_deformation_goes_with_the_warp() -> None:
    image, mask = picture(3, 3, np.uint8)
    warped = AugmentParameters(rotate=30, scale=1.2, shift=(0.1, 0.0))
    faint = warped.model_copy(update={"elastic_alpha": 1e-6, "elastic_sigma": 3.0})
    found, expected = apply(image, mask, faint), apply(image, mask, warped)
    assert np.abs(found[0].astype(int) - expected[0]).mean() < 2  # OpenCV interpolates in steps of 1/32 pixel
    assert (found[1] == expected[1]).mean() > 0.97


def test_noise_and_dropout() -> None:
    image, mask = np.full((40, 40, 3), 128, np.uint8), np.ones((40, 40), np.uint8)
    noisy, labels = apply(image, mask, AugmentParameters(noise_std=0.1, noise_seed=3))
    assert abs(noisy.std() - 25.5) < 2
    assert np.array_equal(labels, mask)
    other = apply(image, mask, AugmentParameters(noise_std=0.1, noise_seed=4))[0]
    assert not np.array_equal(noisy, other)
    holes, labels = apply(image, mask, AugmentParameters(holes=((3, 5, 4, 2),)))
    assert (holes == 0).sum() == 4 * 2 * 3
    assert (holes[3:7, 5:7] == 0).all()
    assert np.array_equal(labels, mask)


def test_probabilities_and_ranges_are_those_asked_for() -> None:
    drawn = [draw(EVERYTHING, seed) for seed in range(600)]
    assert 0.42 < np.mean([each.flip_horizontal for each in drawn]) < 0.58
    assert 0.84 < np.mean([each.warps for each in drawn]) < 0.96  # or elastic: 1 − .2 × .5
    assert 0.24 < np.mean([each.blur_sigma is not None for each in drawn]) < 0.36
    assert all(0.7 <= each.scale <= 1.4 and abs(each.rotate) <= 180 and abs(each.hue) <= 0.1 for each in drawn)
    assert all(top + tall <= 24 and left + wide <= 36 for each in drawn for top, left, tall, wide in each.holes)


def test_settings_are_checked() -> None:
    for wrong in (
        {"flip_horizontal": 1.5},
        {"rotate": -1},
        {"sharpen": 1},
        {"scale": (0, 1)},
        {"scale": (2, 1)},
        {"dropout_holes": (3, 1)},
    ):
        with pytest.raises(ValidationError):
            AugmentSettings(**wrong)  # type: ignore[arg-type]
