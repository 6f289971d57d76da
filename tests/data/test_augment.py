"""Augmentation: drawn parameters, replayed by a pure function that keeps image and mask together."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from delineate.data.augment import geometry
from delineate.data.augment.apply import apply
from delineate.data.augment.blur import Blur
from delineate.data.augment.color import Color
from delineate.data.augment.color_map import LUMA, ColorMap
from delineate.data.augment.dropout import Dropout
from delineate.data.augment.elastic import Elastic
from delineate.data.augment.flips import Flip
from delineate.data.augment.gamma import Gamma
from delineate.data.augment.gray import Gray
from delineate.data.augment.noise import Noise
from delineate.data.augment.quarter_turns import QuarterTurn
from delineate.data.augment.settings import AugmentParameters, AugmentSettings, parts, sample
from delineate.data.augment.transform import GeometricTransform, Transform, TransformSettings
from delineate.data.augment.warp import Warp

EVERYTHING = AugmentSettings(
    flip_horizontal=0.5,
    flip_vertical=0.5,
    quarter_turns=0.5,
    warp=0.8,
    rotate=180,
    scale=(0.7, 1.4),
    shift=0.1,
    shear=10,
    elastic=0.5,
    color=0.8,
    brightness=0.2,
    contrast=0.3,
    saturation=0.4,
    hue=0.1,
    gamma=0.4,
    gray=0.2,
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


def only(image: Any, *drawn: Transform, mask: Any = None) -> Any:
    """The picture after these alone."""
    mask = np.zeros(image.shape[:2], np.uint8) if mask is None else mask
    return apply(image, mask, AugmentParameters.of(*drawn))[0]


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
    flip = AugmentParameters.of(Flip(horizontal=horizontal, vertical=vertical))
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


@given(
    seeds, st.sampled_from([Flip(horizontal=True), QuarterTurn(turns=1), QuarterTurn(turns=3), QuarterTurn(turns=2)])
)
@settings(max_examples=40, deadline=None)
def test_composed_movements_equal_separate_ones(seed: int, first: GeometricTransform) -> None:
    """A flip or quarter turn inside the warp's matrix is the same as doing it first."""
    image, mask = picture(seed, 3, np.uint8, (30, 30))
    warped = draw(WARP.model_copy(update={"flip_horizontal": 0}), seed)
    whole = apply(image, mask, AugmentParameters.of(first, *warped.drawn))
    after = apply(*apply(image, mask, AugmentParameters.of(first)), warped)
    assert (np.abs(whole[0].astype(int) - after[0]) <= 8).mean() > 0.99  # OpenCV interpolates in steps of 1/32 pixel
    assert (whole[1] == after[1]).mean() > 0.98


@given(st.booleans(), st.booleans(), st.integers(0, 3), st.integers(1, 9), channels, kinds)
@settings(max_examples=40, deadline=None)
def test_whole_pixels_go_where_the_matrix_says(
    horizontal: bool, vertical: bool, turns: Any, side: int, count: int, kind: Any
) -> None:
    shape = (side, side + 3) if turns in (0, 2) else (side, side)
    image, mask = picture(side, count, kind, shape)
    moves = (Flip(horizontal=horizontal, vertical=vertical), *([QuarterTurn(turns=turns)] if turns else []))
    parameters = AugmentParameters.of(*moves)
    assert not geometry.interpolates(parameters)
    found, labels = apply(image, mask, parameters)
    rows, columns = np.indices(shape).reshape(2, -1)
    x, y = geometry.matrix(parameters, shape) @ [columns, rows, np.ones_like(rows)]
    assert np.array_equal(found[y.astype(int), x.astype(int)], image[rows, columns])
    assert np.array_equal(labels[y.astype(int), x.astype(int)], mask[rows, columns])


def test_quarter_turns_are_counterclockwise_and_keep_the_shape() -> None:
    image, mask = picture(0, 3, np.uint8, (6, 6))
    for turns in (1, 2, 3):
        found, labels = apply(image, mask, AugmentParameters.of(QuarterTurn(turns=turns)))
        assert np.array_equal(found, np.rot90(image, turns))
        assert np.array_equal(labels, np.rot90(mask, turns))
    wide, narrow = picture(0, 1, np.uint8, (4, 6))
    half, _ = apply(wide, narrow, AugmentParameters.of(QuarterTurn(turns=2)))
    assert np.array_equal(half, wide[::-1, ::-1])
    with pytest.raises(ValueError, match="4×6 pixels are not a square: they can be turned by 180° only"):
        apply(wide, narrow, AugmentParameters.of(QuarterTurn(turns=1)))


@pytest.mark.parametrize(("shape", "expected"), [((8, 8), {1: 1 / 4, 2: 1 / 4, 3: 1 / 4}), ((8, 9), {2: 3 / 4})])
def test_quarter_turns_are_as_likely_as_each_other(shape: tuple[int, int], expected: dict[int, float]) -> None:
    drawn = [draw(AugmentSettings(quarter_turns=0.75), seed, shape).kind(QuarterTurn) for seed in range(1500)]
    for turns in (1, 2, 3):
        share = np.mean([bool(one) and one[0].turns == turns for one in drawn])
        assert share == pytest.approx(expected.get(turns, 0), abs=0.04 if turns in expected else 0)


def test_the_warp_turns_about_the_center() -> None:
    matrix = geometry.matrix(AugmentParameters.of(Warp(rotate=90, scale=2)), (11, 21))
    assert np.allclose(matrix @ [10, 5, 1], [10, 5])
    assert np.allclose(matrix @ [11, 5, 1], [10, 3])  # to the right becomes upwards: counterclockwise
    shifted = geometry.matrix(AugmentParameters.of(Warp(shift=(0.5, 0.1))), (10, 20))
    assert np.allclose(shifted, [[1, 0, 2], [0, 1, 5]])


def test_nothing_drawn_returns_the_inputs_themselves() -> None:
    image, mask = picture(0, 3, np.uint8)
    assert AugmentSettings().is_identity
    parameters = draw(AugmentSettings(), 0)
    assert parameters == AugmentParameters()
    assert not AugmentSettings(elastic=0.1).is_identity
    assert AugmentSettings(rotate=90, brightness=1).is_identity, "without a probability, a range changes nothing"
    found, labels = apply(image, mask, parameters)
    assert found is image
    assert labels is mask


def test_borders() -> None:
    image, mask = np.full((10, 10, 3), 200, np.uint8), np.full((10, 10), 2, np.uint8)
    shifted = Warp(shift=(0.0, 0.4))
    black, labels = apply(image, mask, AugmentParameters.of(shifted))
    assert (black[:, :4] == 0).all()
    assert (labels[:, :4] == 0).all()
    assert (black[:, 4:] == 200).all()
    mirrored, labels = apply(image, mask, AugmentParameters.of(shifted.model_copy(update={"border": "reflect"})))
    assert (mirrored == 200).all()
    assert (labels == 2).all()


@given(st.floats(-0.5, 0.5), st.floats(0, 2))
def test_grays_keep_their_value_under_hue_and_saturation(hue: float, saturation: float) -> None:
    matrix = Color(hue=hue, saturation=saturation).join(ColorMap()).matrix()
    assert np.allclose(matrix @ [0.3, 0.3, 0.3, 1], 0.3)
    assert np.allclose(LUMA @ matrix[:, :3], LUMA)


def test_color_by_known_values() -> None:
    def colored(rgb: list[int], *changes: Transform) -> list[int]:
        image = np.array([[rgb]], np.uint8)
        byte, real = only(image, *changes)[0, 0], only(image / np.float32(255), *changes)[0, 0]
        assert np.abs(byte / 255 - real).max() < 0.004
        return byte.tolist()

    assert colored([100, 150, 200], Color(brightness=0.1)) == [126, 176, 226]  # 25.5 more, half to even
    assert colored([27, 127, 227], Color(contrast=0.5)) == [77, 127, 177]
    assert colored([100, 150, 200], Gray()) == [141, 141, 141]
    assert colored([100, 150, 200], Color(saturation=0.0)) == [141, 141, 141]
    assert colored([100, 150, 200], Color(brightness=0.1, contrast=0.5, hue=0.3), Gray()) == [160, 160, 160]
    turned = colored([150, 60, 60], Color(hue=1 / 3))
    assert turned[1] > turned[0]
    assert turned[1] > turned[2]
    assert colored([10, 128, 250], Color(brightness=0.5)) == [138, 255, 255]


def test_gray_pictures_have_brightness_and_contrast_only() -> None:
    image = np.array([[[40], [200]]], np.uint8)
    assert np.array_equal(only(image, Color(hue=0.2, saturation=0.1), Gray()), image)
    assert only(image, Color(contrast=0.5)).ravel().tolist() == [84, 164]


def test_gamma_by_known_values() -> None:
    image = np.array([[[0], [64], [128], [255]]], np.uint8)
    assert only(image, Gamma(power=2.0)).ravel().tolist() == [0, 16, 64, 255]
    real = only(image / np.float32(255), Gamma(power=0.5))
    assert real.dtype == np.float32
    assert np.allclose(real.ravel() ** 2, image.ravel() / 255, atol=1e-6)
    drawn = [draw(AugmentSettings(gamma=1, gamma_range=(0.5, 1.5)), seed).kind(Gamma)[0].power for seed in range(200)]
    assert 0.5 <= min(drawn) < 0.55
    assert 1.45 < max(drawn) <= 1.5


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_an_elastic_deformation_moves_pixels_by_less_than_its_strength(seed: int) -> None:
    """The image holds each pixel's own place, so that what is found there tells where it came from."""
    rows, columns = np.mgrid[:96, :64].astype(np.float32)
    image = np.stack([columns / 96, rows / 96, 0 * rows], 2)
    mask = (rows.astype(int) // 8 % 2).astype(np.uint8)
    parameters = AugmentParameters.of(Elastic(alpha=20, sigma=4, seed=seed, border="reflect"))
    found, labels = apply(image, mask, parameters)
    moved = 96 * (found - image)[8:-8, 8:-8, :2]
    assert 0.3 < moved.std() < 3, (
        "a uniform field of deviation .58, smoothed by σ = 4, leaves .58 / (2·4·√π) of it: 0.8 pixels"
    )
    assert np.abs(moved).max() < 20
    assert np.abs(np.diff(moved, axis=0)).max() < 1.5, "neighbors move together"
    came_from = np.rint(96 * found[8:-8, 8:-8, 1]).astype(int)
    assert (labels[8:-8, 8:-8] == came_from // 8 % 2).mean() > 0.97, "image and mask move alike"


def test_an_elastic_deformation_goes_with_the_warp() -> None:
    image, mask = picture(3, 3, np.uint8)
    warped = Warp(rotate=30, scale=1.2, shift=(0.1, 0.0))
    faint = AugmentParameters.of(warped, Elastic(alpha=1e-6, sigma=3.0, seed=0))
    found, expected = apply(image, mask, faint), apply(image, mask, AugmentParameters.of(warped))
    assert np.abs(found[0].astype(int) - expected[0]).mean() < 2  # OpenCV interpolates in steps of 1/32 pixel
    assert (found[1] == expected[1]).mean() > 0.97


def test_noise_and_dropout() -> None:
    image, mask = np.full((40, 40, 3), 128, np.uint8), np.ones((40, 40), np.uint8)
    noisy, labels = apply(image, mask, AugmentParameters.of(Noise(std=0.1, seed=3)))
    assert abs(noisy.std() - 25.5) < 2
    assert np.array_equal(labels, mask)
    other = only(image, Noise(std=0.1, seed=4))
    assert not np.array_equal(noisy, other)
    holes, labels = apply(image, mask, AugmentParameters.of(Dropout(holes=((3, 5, 4, 2),))))
    assert (holes == 0).sum() == 4 * 2 * 3
    assert (holes[3:7, 5:7] == 0).all()
    assert np.array_equal(labels, mask)


def test_probabilities_and_ranges_are_those_asked_for() -> None:
    drawn = [draw(EVERYTHING, seed) for seed in range(600)]
    assert 0.42 < np.mean([any(flip.horizontal for flip in each.kind(Flip)) for each in drawn]) < 0.58
    assert 0.84 < np.mean([geometry.interpolates(each) for each in drawn]) < 0.96  # or elastic: 1 − .2 × .5
    assert 0.24 < np.mean([bool(each.kind(Blur)) for each in drawn]) < 0.36
    warps = [warp for each in drawn for warp in each.kind(Warp)]
    assert all(0.7 <= warp.scale <= 1.4 and abs(warp.rotate) <= 180 for warp in warps)
    assert all(abs(color.hue) <= 0.1 for each in drawn for color in each.kind(Color))
    holes = [hole for each in drawn for dropout in each.kind(Dropout) for hole in dropout.holes]
    assert all(top + tall <= 24 and left + wide <= 36 for top, left, tall, wide in holes)


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


def test_recipes_of_before_draw_and_make_the_same() -> None:
    """Pictures to one level, since processors round differently (golden/make_augment.py says how they were made). OpenCV 4 takes
    the values between pixels at steps of 1/32 pixel, OpenCV 5 where they are."""
    exact = int(cv2.__version__.partition(".")[0]) >= 5
    folder = Path(__file__).parents[1] / "golden"
    golden, script = np.load(folder / "augment.npz"), runpy.run_path(str(folder / "make_augment.py"))
    for seed in script["SEEDS"]:
        image, mask, following = script["augmented"](seed)
        assert following == golden["following"][seed], "other numbers are drawn"
        assert np.abs(image.astype(int) - golden["image"][seed]).max() <= (1 if exact else 8)
        assert (mask != golden["mask"][seed]).sum() <= (0 if exact else 4)


@pytest.mark.parametrize("part", parts())
def test_parts_that_came_later_draw_nothing_where_they_are_not_asked_for(part: type[TransformSettings]) -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert part.draw(AugmentSettings(), rng, (8, 8)) is None
    if part.generation:
        assert rng.bit_generator.state == before


def test_a_log_with_an_unknown_augmentation_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="there is no augmentation 'solarize'; there are flip, quarter_turn, warp"
    ):
        AugmentParameters.model_validate_json('{"drawn": [{"name": "solarize"}]}')
