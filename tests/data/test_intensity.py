"""Intensity rules: known values, of every type of pixel, measured in the image and never in its padding; their keys in recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from delineate.common.errors import DataError, RecipeError
from delineate.data.cases.volumes import standardized, windowed
from delineate.data.core.input_spec import InputSpec
from delineate.data.loading.open_data import open_data
from delineate.engine.input_settings import settle_input
from delineate.engine.recipe import Recipe, resolve

WINDOW = {"intensity": "window", "window_level": 40, "window_width": 400}
NEW: list[Any] = [WINDOW, {"intensity": "zscore", "zscore_clip": 2.5}]
KINDS = [np.uint8, np.uint16, np.int16, np.float32]


def spec_of(rule: dict[str, Any], size: tuple[int, int], **more: Any) -> InputSpec:
    return InputSpec(channels="gray", size=size, **rule, **more)


def unit_of(image: Any, rule: dict[str, Any]) -> Any:
    spec = spec_of(rule, image.shape)
    return spec.to_unit(spec.working_pixels(image))[..., 0]


def by_hand(image: Any, rule: dict[str, Any]) -> Any:
    """The rules by their definitions."""
    values = image.astype(np.float64)
    if rule["intensity"] == "window":
        return np.clip((values - (rule["window_level"] - rule["window_width"] / 2)) / rule["window_width"], 0, 1)
    scores = np.clip((values - values.mean()) / values.std(), -rule["zscore_clip"], rule["zscore_clip"])
    return (scores + rule["zscore_clip"]) / (2 * rule["zscore_clip"])


@pytest.mark.parametrize("rule", NEW)
@given(st.integers(0, 999), st.sampled_from(KINDS), st.floats(0.1, 100), st.integers(-1000, 1000))
@settings(max_examples=40, deadline=None)
def test_rules_are_their_definitions(rule: Any, seed: int, kind: Any, spread: float, offset: int) -> None:
    values = np.random.default_rng(seed).normal(offset, spread, (12, 17))
    if kind != np.float32:
        values = np.rint(np.clip(values, np.iinfo(kind).min, np.iinfo(kind).max))
        values[0, :2] = 7, 9  # never constant
    image = values.astype(kind)
    found = unit_of(image, rule)
    assert found.dtype == np.float32
    assert np.abs(found - by_hand(image, rule)).max() < 1e-4


def test_a_window_by_known_values() -> None:
    hounsfield = np.array([[-1024, -160, -60, 40, 140, 240, 3071]], np.int16)
    assert unit_of(hounsfield, WINDOW).tolist() == [[0, 0, 0.25, 0.5, 0.75, 1, 1]]
    assert np.array_equal(unit_of(hounsfield.astype(np.float64), WINDOW), unit_of(hounsfield, WINDOW))
    assert np.array_equal(unit_of(hounsfield.astype(">i2"), WINDOW), unit_of(hounsfield, WINDOW))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0, 100])
def test_a_constant_image_is_in_the_middle_of_its_scores(kind: Any, value: int) -> None:
    assert (unit_of(np.full((5, 6), value, kind), NEW[1]) == 0.5).all()


def test_small_numbers_keep_their_contrast() -> None:
    """Diffusivities in m²/s are of the order of 1e-9: no smallest distance of limits may swallow them."""
    image = np.random.default_rng(0).normal(1e-9, 2e-10, (20, 20)).astype(np.float32)
    for rule in ({"intensity": "percentile"}, NEW[1]):
        assert unit_of(image, rule).std() > 0.1
    rounding = np.full((20, 20), 1000, np.float32)
    rounding[::2] = np.nextafter(np.float32(1000), np.float32(2000))
    assert np.ptp(unit_of(rounding, NEW[1])) < 0.1, "rounding is no contrast"


@pytest.mark.parametrize("rule", NEW)
@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_black_and_not_measured(rule: Any, kind: Any) -> None:
    image = np.random.default_rng(1).normal(90, 20, (40, 20)).astype(kind)
    boxed = spec_of(rule, (40, 40), fit="letterbox")
    unit = boxed.to_unit(boxed.working_pixels(image))[..., 0]
    assert np.abs(unit[:, 10:30] - by_hand(image, rule)).max() <= 0.51 / 127
    assert not unit[:, :10].any()
    assert not unit[:, 30:].any()


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64, np.int32])
def test_the_range_of_a_type_without_white_has_no_meaning(kind: Any) -> None:
    for fit in ("stretch", "letterbox"):
        spec = spec_of({"intensity": "range"}, (8, 8), fit=fit)
        with pytest.raises(
            DataError, match=r"input.intensity=range has no meaning for \w+ pixels.*use percentile, zscore"
        ):
            spec.to_unit(spec.working_pixels(np.ones((8, 8), kind)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -3.4e38])
def test_pixels_that_are_not_numbers_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="pixels that are not numbers"):
        unit_of(np.array([[1.0, value]], np.float32), WINDOW)


def test_colors_of_any_type_become_gray() -> None:
    image = np.random.default_rng(0).integers(-500, 500, (6, 7, 3))
    found = [
        InputSpec(channels="gray", size=(6, 7)).working_pixels(image.astype(kind)) for kind in (np.int16, np.float32)
    ]
    assert found[0].dtype == np.int16
    assert np.abs(found[0] - found[1]).max() <= 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"intensity": "window", "window_level": 3}, "intensity=window needs window_level and window_width"),
        ({"window_width": 3, "window_level": 1}, "window_level is for intensity=window only"),
        ({"intensity": "percentile", "zscore_clip": 3}, "zscore_clip is for intensity=zscore only"),
        ({"intensity": "window", "window_level": 3, "window_width": 0}, "greater than 0"),
        ({"intensity": "zscore", "zscore_clip": -1}, "greater than 0"),
        ({"intensity": "window", "window_level": float("nan"), "window_width": 2}, "finite"),
    ],
)
def test_numbers_go_with_their_rule(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        InputSpec(**given)
    with pytest.raises(RecipeError, match=message) as told:
        resolve("unet", "tiny", {"input": given})
    assert str(told.value).startswith("recipe: input")
    assert len(str(told.value)) < 130, "one line, without all that is in the section"


def test_caches_go_by_the_rule_where_it_is_applied() -> None:
    for rule in NEW:
        numbers = set(rule)
        assert not spec_of(rule, (8, 8)).decisive & numbers, "applied after the cache"
        assert spec_of(rule, (8, 8), fit="letterbox").decisive >= numbers
    assert spec_of(NEW[1], (8, 8), fit="patch").decisive >= set(NEW[1]), "patches are given the scores of their image"
    assert not spec_of(WINDOW, (8, 8), fit="patch").decisive & set(WINDOW)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (["input.intensity=zscore"], {"intensity": "zscore", "zscore_clip": 3.0}),
        (["input.intensity=zscore", "input.zscore_clip=5"], {"intensity": "zscore", "zscore_clip": 5.0}),
        (
            ["input.intensity=window", "input.window_level=-600", "input.window_width=1500"],
            {"intensity": "window", "window_level": -600.0, "window_width": 1500.0},
        ),
        ([], {"intensity": "range"}),
    ],
)
def test_a_recipe_is_settled(make_pairs: Any, stated: list[str], expected: dict[str, Any], tmp_path: Path) -> None:
    _, census = open_data(make_pairs(["a", "b", "c", "d"]))
    recipe, spec = settle_input(resolve("unet", "tiny", {}, stated), census)
    assert spec.rule == expected
    assert InputSpec.model_validate_json(spec.model_dump_json()) == spec
    recipe.save(tmp_path / "recipe.yaml")
    assert settle_input(Recipe.load(tmp_path / "recipe.yaml"), census)[1] == spec, "a saved recipe says the same"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "the whole range of the type"),
        ({"axis": 2}, "each volume's 0.5th to 99.5th percentile"),
        (
            {"axis": 0, "intensity": "percentile"},
            "each volume's 0.5th to 99.5th percentile, then each slice's 0.5th to 99.5th percentile",
        ),
        ({"axis": 2, "intensity": "zscore", "zscore_clip": 4}, "each image's mean ± 4 standard deviations"),
    ],
)
def test_the_card_tells_what_becomes_black_and_white(given: Any, words: str) -> None:
    assert InputSpec(**given).rule_words == words


@pytest.mark.parametrize("scale", [1e-12, 1e-9, 1.0, 1e6, 1e20])
def test_a_volume_becomes_bytes_whatever_its_unit(scale: float) -> None:
    """Diffusion in m²/s has values of 1e-9."""
    voxels = np.random.default_rng(0).normal(5, 1, (8, 8, 8))
    expected = windowed(voxels, Path("x")).astype(int)
    assert expected.std() > 30
    assert np.abs(windowed(voxels * scale, Path("x")) - expected).max() <= 1


@pytest.mark.parametrize("value", [0.0, 7.0, -1e20])
def test_a_volume_of_one_value_is_black(value: float) -> None:
    assert not windowed(np.full((3, 3, 3), value), Path("x")).any()


@pytest.mark.parametrize("value", [np.nan, -np.inf, -3.4e38, 1e31])
def test_voxels_that_stand_for_missing_ones_are_refused(value: float) -> None:
    voxels = np.ones((3, 3, 3), np.float32)
    voxels[1, 1, 1] = value
    for change in (windowed, standardized):
        with pytest.raises(DataError, match="x has voxels that are not numbers"):
            change(voxels, Path("x"))
