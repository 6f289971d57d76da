"""The sliding window with other tiles and another overlap than in training, and who may ask for it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from delineate.artefact.format import Artefact
from delineate.common.errors import RecipeError
from delineate.data.augment.patches import starts
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.predictor import Predictor
from delineate.inference.sliding_window import weights
from delineate.inference.tiling import Tiling, blended_rows
from micro_method import Micro, MicroOptions, brightness


def seeing(size: tuple[int, int] = (32, 32), fit: str = "patch") -> Artefact:
    """A network that sees seven pixels about each."""
    torch.manual_seed(0)
    method = Micro(MicroOptions(kernel=7), classes=1, in_channels=3).eval()
    return Artefact(method, InputSpec(size=size, fit=fit), ClassTable())


@given(st.integers(1, 500), st.integers(1, 90), st.floats(0, 0.9))
def test_tiles_overlap_by_what_was_asked_and_cover_all(length: int, tile: int, overlap: float) -> None:
    found = starts(length, tile, overlap)
    assert max(0, found[0]) == 0
    assert found[-1] + tile >= length
    for first, second in pairwise(found):
        assert second - first <= max(1, int(tile * (1 - overlap)))
    total = np.zeros(length)
    for start, values in zip(found, weights(length, tile, overlap), strict=True):
        total[max(0, start) : max(0, start) + len(values)] += values
    assert np.allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize(("tile", "overlap"), [(64, 0.25), (96, None), (None, 0.75)])
def test_tiles_whose_overlap_holds_the_receptive_field_say_what_the_whole_image_says(
    tile: int | None, overlap: float | None
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 170, 3), np.uint8)
    tiled = Predictor(seeing(), "cpu", tile=tile, overlap=overlap).probabilities(pixels)
    whole = Predictor(seeing((150, 170), "stretch"), "cpu").probabilities(pixels)
    assert np.abs(tiled - whole).max() < 1e-3


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_models_that_see_whole_images_have_no_tiles(fit: str) -> None:
    with pytest.raises(RecipeError, match="trained on patches"):
        Predictor(seeing(fit=fit), "cpu", tile=64)
    assert Predictor(seeing(fit=fit), "cpu").tiling.size == (32, 32)


def test_sides_that_a_method_does_not_take_are_refused() -> None:
    with pytest.raises(RecipeError, match="at most 16384"):
        Tiling.of(seeing(), 1_000_000_000)
    with pytest.raises(RecipeError, match="multiples of"):
        Tiling.of(seeing(), 0)
    with pytest.raises(RecipeError, match=r"0 to 0\.9"):
        Tiling.of(seeing(), None, 0.95)


def test_tiles_that_are_left_out_are_background_and_pass_no_network() -> None:
    class LeftHalf:
        size = (64, 128)

        def tile(self, corner: tuple[int, int]) -> np.ndarray | None:
            return np.zeros((32, 32, 1), np.float32) if corner[1] < 64 else None

    passed = []

    def forward(tiles: list[np.ndarray]) -> np.ndarray:
        passed.append(len(tiles))
        return np.stack([np.full((len(tiles), 32, 32), 0.25), np.full((len(tiles), 32, 32), 0.75)], 1).astype(
            np.float32
        )

    rows = list(blended_rows(LeftHalf(), Tiling((32, 32), 0.0), forward, 3, np.array([1, 0], np.float32)))
    found = np.concatenate([values for _, values in rows], axis=1)
    assert sum(passed) == 4
    assert max(passed) <= 3
    assert np.allclose(found[:, :, :64], [[[0.25]], [[0.75]]])
    assert np.allclose(found[:, :, 64:], [[[1]], [[0]]])


def test_a_model_of_several_classes_leaves_out_for_its_background() -> None:
    table = ClassTable(names=("background", "a", "b"))
    model = Predictor(Artefact(brightness(3, 3), InputSpec(size=(32, 32), fit="patch"), table), "cpu")
    assert model.method.output.background().tolist() == [1, 0, 0]
    assert seeing().method.output.background().tolist() == [0]
