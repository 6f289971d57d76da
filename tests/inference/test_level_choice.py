"""Pyramids and micrometers: the level that is read, the size at which it is seen, and what a file must tell for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.artefact.format import Artefact
from delineate.common.errors import RecipeError
from delineate.data.cases.glass import is_glass, leaves_out
from delineate.data.cases.level_choice import check_mpp, seen_at
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.core.resampling import ResizedPlanes, ResizedRows, Weights
from delineate.data.formats.registry import open_image, read_mask
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from delineate.inference.rows import Rows
from micro_method import brightness

SPEC = InputSpec(size=(64, 64), fit="patch")


def slide(path: Path, image: np.ndarray, microns: float | None, levels: int = 3) -> Path:
    """A pyramid whose largest level has pixels of so many micrometers."""
    told = {} if microns is None else {"resolution": (1e4 / microns, 1e4 / microns), "resolutionunit": "centimeter"}
    how: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(image, subifds=levels - 1, **how, **told)
        for level in range(1, levels):
            size = (image.shape[1] >> level, image.shape[0] >> level)
            writer.write(cv2.resize(image, size, interpolation=cv2.INTER_AREA), subfiletype=1, **how)
    return path


def glassy(height: int = 600, width: int = 800) -> np.ndarray:
    """Glass, with a dark stain in its middle."""
    rng = np.random.default_rng(0)
    image = rng.integers(236, 246, (height, width, 3)).astype(np.uint8)
    cv2.ellipse(image, (width // 2, height // 2), (width // 6, height // 6), 0, 0, 360, (150, 60, 140), -1)
    return image


def model(**spec: Any) -> Predictor:
    details = InputSpec(size=(64, 64), fit="patch", **spec)
    return Predictor(Artefact(brightness(1, 3), details, ClassTable()), "cpu")


@pytest.mark.parametrize(
    ("mpp", "level", "size"),
    [
        (0.25, 0, (600, 800)),
        (0.251, 0, (600, 800)),
        (0.4, 0, (375, 500)),
        (0.5, 1, (300, 400)),
        (0.99, 2, (150, 200)),
        (2.0, 2, (75, 100)),
        (0.125, 0, (1200, 1600)),
    ],
)
def test_the_level_that_is_fine_enough_is_read(tmp_path: Path, mpp: float, level: int, size: tuple[int, int]) -> None:
    handle = open_image(slide(tmp_path / "s.tif", glassy(), 0.25))
    seen = seen_at(handle, SPEC, mpp)
    assert seen.level.shape == handle.levels[level].shape
    assert seen.size == seen.output == size
    assert seen.microns == pytest.approx((150 / size[0], 200 / size[1]), rel=1e-3)
    assert (seen.remark is not None) == (mpp == 0.125)


def test_a_model_with_a_spacing_of_its_own_asks_for_it(tmp_path: Path) -> None:
    spec = InputSpec(size=(64, 64), fit="patch", spacing=(0.0005, 0.0005))
    handle = open_image(slide(tmp_path / "s.tif", glassy(), 0.25))
    seen = seen_at(handle, spec, None)
    assert (seen.size, seen.output) == ((300, 400), (600, 800))
    check_mpp(spec, 0.5)
    with pytest.raises(RecipeError, match="learned from pixels of"):
        check_mpp(spec, 1.0)


def test_what_has_no_meaning_is_refused_in_a_line(tmp_path: Path) -> None:
    for spec, said in (
        (InputSpec(size=(64, 64)), "trained on patches"),
        (InputSpec(size=(64, 64), fit="patch", scale=0.5), "both say"),
    ):
        with pytest.raises(RecipeError, match=said):
            check_mpp(spec, 0.5)
    for mpp in (0.0, -1.0, float("nan")):
        with pytest.raises(RecipeError, match="size of a pixel"):
            check_mpp(SPEC, mpp)
    cv2.imwrite(str(tmp_path / "plain.png"), glassy())
    silent = slide(tmp_path / "silent.tif", glassy(), None)
    result = predict_files(model(), [tmp_path / "plain.png", silent], tmp_path / "out", mpp=0.5)
    assert len(result.failures) == 2
    assert all("does not tell how large its pixels are" in str(file.error) for file in result.failures)
    assert not list((tmp_path / "out").glob("*.tif"))


def test_masks_have_the_pixels_that_were_asked_for(tmp_path: Path) -> None:
    path = slide(tmp_path / "s.tif", glassy(), 0.25)
    result = predict_files(model(), [path], tmp_path / "out", mpp=0.5)
    assert not result.failures
    mask = open_image(tmp_path / "out" / "s.tif")
    assert mask.shape == (300, 400)
    assert mask.microns == pytest.approx((0.5, 0.5), rel=1e-4)
    assert "empty glass" in str(result.files[0].remark)
    kept = predict_files(model(), [path], tmp_path / "kept", mpp=0.5, background="keep")
    assert kept.files[0].remark is None
    inside = read_mask(tmp_path / "kept" / "s.tif")[100:200, 150:250]
    assert np.array_equal(read_mask(tmp_path / "out" / "s.tif")[100:200, 150:250], inside)


def test_glass_is_bright_and_colorless() -> None:
    glass = np.random.default_rng(0).integers(225, 250, (64, 64, 1)).astype(np.uint8).repeat(3, axis=2)
    assert is_glass(glass)
    for stain in ([250, 215, 235], [200, 200, 200], [0, 0, 0]):
        stained = glass.copy()
        stained[:4, :4] = stain
        assert not is_glass(stained)
    speck = glass.copy()
    speck[0, 0] = 0
    assert is_glass(speck)


def test_only_slides_are_looked_at_by_themselves(tmp_path: Path) -> None:
    fine = open_image(slide(tmp_path / "fine.tif", glassy(), 0.25))
    coarse = open_image(slide(tmp_path / "coarse.tif", glassy(), 15.0))
    silent = open_image(slide(tmp_path / "silent.tif", glassy(), None))
    assert [leaves_out("auto", one, SPEC) for one in (fine, coarse, silent)] == [True, False, False]
    assert all(leaves_out("skip", one, SPEC) for one in (fine, coarse, silent))
    assert not leaves_out("skip", fine, InputSpec(size=(64, 64), fit="patch", channels="gray"))
    assert not leaves_out("keep", fine, SPEC)


SIDES = st.tuples(st.integers(1, 90), st.integers(1, 90))


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 40))
def test_planes_are_resized_as_a_whole_one_is(source: tuple[int, int], wanted: tuple[int, int], step: int) -> None:
    planes = np.random.default_rng(0).random((2, *source)).astype(np.float32)
    shrinking = wanted[0] < source[0] and wanted[1] < source[1]
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    expected = np.stack([cv2.resize(plane, wanted[::-1], interpolation=how) for plane in planes])
    resized = ResizedPlanes(source, wanted)
    bands = [resized.add(planes[:, top : top + step]) for top in range(0, source[0], step)]
    found = np.concatenate([band for band in bands if band is not None], axis=1)
    assert np.abs(found - expected).max() < 1e-5


@settings(max_examples=40, deadline=None)
@given(st.floats(0.2, 1.0), st.integers(1, 60))
def test_rows_are_resized_as_a_whole_picture_is(
    tmp_path_factory: pytest.TempPathFactory, factor: float, step: int
) -> None:
    image = cv2.GaussianBlur(glassy(200, 150), (0, 0), 1)
    path = tmp_path_factory.mktemp("rows") / "a.tif"
    tifffile.imwrite(path, image, tile=(32, 32), photometric="rgb", metadata=None)
    size = round(200 * factor), round(150 * factor)
    rows = ResizedRows(Rows(open_image(path), SPEC), size)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    found = [rows.between(top, min(size[0], top + 2 * step)) for top in range(0, size[0], step)]
    for top, band in zip(range(0, size[0], step), found, strict=True):
        assert np.abs(band.astype(int) - expected[top : top + 2 * step].astype(int)).max() <= 1


def test_weights_of_an_axis_sum_to_one() -> None:
    for length, wanted in ((7, 3), (100, 33), (5, 5), (3, 7)):
        for area in (True, False):
            assert np.allclose(Weights.of(length, wanted, area=area).shares.sum(axis=1), 1, atol=1e-6)
