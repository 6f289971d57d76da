"""Pictures that are read by windows: the same masks and maps as in memory, with a band of rows held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.cases.level_choice import seen_at
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import open_image, read_image, read_mask
from delineate.inference import streaming
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from delineate.inference.row_limits import limits_of_rows
from delineate.inference.rows import Rows
from delineate.inference.streaming import FileTiles
from micro_method import Micro, MicroOptions, brightness

FOUR = ClassTable(names=("background", "a", "b", "c"))
TILES = {"tile": (64, 64), "compression": "zlib", "photometric": "rgb", "metadata": None}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rough = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width, 3)), (0, 0), 4)
    return (255 * (rough - rough.min()) / np.ptp(rough)).astype(np.uint8)


def seeing(classes: int = 1, tile: int = 96, **spec: Any) -> Predictor:
    torch.manual_seed(0)
    details = InputSpec(size=(tile, tile), fit="patch", **spec)
    method = Micro(MicroOptions(kernel=7), classes=1 if classes == 1 else 4, in_channels=details.in_channels).eval()
    return Predictor(Artefact(method, details, ClassTable() if classes == 1 else FOUR), "cpu")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of the tests' size are large."""
    monkeypatch.setattr(streaming, "LARGE", 1)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(20, 400), st.integers(20, 300)),
    st.sampled_from([1, 4]),
    st.sampled_from(["range", "percentile", "zscore"]),
    st.sampled_from([(64, 0.5), (96, 0.25), (32, 0.0)]),
)
def test_rows_are_those_of_the_picture_in_memory(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    classes: int,
    rule: str,
    tiling: tuple[int, float],
) -> None:
    path = tmp_path_factory.mktemp("rows") / "image.tif"
    tifffile.imwrite(path, picture(*size), **TILES)
    artefact = seeing(classes, intensity=rule).artefact
    model = Predictor(artefact, "cpu", tile=tiling[0], overlap=tiling[1])
    handle = open_image(path)
    source = FileTiles(seen_at(handle, model.spec, None), model.spec, model.tiling.size)
    found = np.concatenate([rows for _, rows in model.rows_of(source, 3)], axis=1)
    expected = model.probabilities_of(model.prepare(read_image(path)), 3)
    assert np.abs(found - expected).max() < 1e-6


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("classes", [1, 4])
def test_files_are_as_those_of_pictures_in_memory(
    tmp_path: Path, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(600, 800), **TILES)
    model = seeing(classes)
    streamed = predict_files(model, [tmp_path / "a.tif"], tmp_path / "streamed", probabilities=True)
    monkeypatch.setattr(streaming, "LARGE", 1 << 40)
    memory = predict_files(model, [tmp_path / "a.tif"], tmp_path / "memory", probabilities=True, format="tiff")
    names = sorted(path.relative_to(tmp_path / "memory") for path in (tmp_path / "memory").rglob("*.tif"))
    assert len(names) == 1 + classes
    for name in names:
        one, other = (tifffile.imread(tmp_path / folder / name, key=0) for folder in ("streamed", "memory"))
        assert np.abs(one.astype(int) - other.astype(int)).max() <= (1 if "probabilities" in str(name) else 0)
    assert streamed.files[0].percent == memory.files[0].percent
    assert (streamed.files[0].height, streamed.files[0].width) == (600, 800)
    with tifffile.TiffFile(tmp_path / "streamed" / "a.tif") as file:
        assert file.is_bigtiff
        assert file.pages[0].is_tiled


@pytest.mark.usefixtures("large")
def test_the_whole_picture_is_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(900, 300), **TILES)
    seen = []
    original = Rows.between

    def between(self: Rows, first: int, last: int) -> np.ndarray:
        found = original(self, first, last)
        assert self._held is not None
        seen.append(len(self._held))
        return found

    monkeypatch.setattr(Rows, "between", between)
    predict_files(seeing(), [tmp_path / "a.tif"], tmp_path / "out")
    assert max(seen) <= 96 + 2 * 128


@pytest.mark.usefixtures("large")
def test_wrong_inputs_are_told_of_their_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.tif", tmp_path / "bad.tif"
    for path in (good, bad):
        tifffile.imwrite(path, picture(300, 300), **TILES)
    with tifffile.TiffFile(bad) as file:
        offset = file.pages[0].dataoffsets[12]
    content = bytearray(bad.read_bytes())
    content[offset : offset + 30] = bytes(30)
    bad.write_bytes(content)
    result = predict_files(seeing(), [bad, good], tmp_path / "out")
    assert [file.error is None for file in result.files] == [False, True]
    assert "bad.tif is damaged" in str(result.failures[0].error)
    assert not (tmp_path / "out" / "bad.tif").exists()
    with pytest.raises(DataError, match="by parts"):
        predict_files(seeing(), [good], tmp_path / "png", format="png")
    assert not (tmp_path / "png").exists()


@pytest.mark.usefixtures("large")
def test_models_that_see_whole_images_read_whole_images(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(200, 300), **TILES)
    model = Predictor(Artefact(brightness(1, 3), InputSpec(size=(64, 64)), ClassTable()), "cpu")
    predict_files(model, [tmp_path / "a.tif"], tmp_path / "out")
    assert read_mask(tmp_path / "out" / "a.tif").shape == (200, 300)


def test_percentiles_of_rows_are_those_of_the_whole(tmp_path: Path) -> None:
    for number, dtype in enumerate((np.uint8, np.uint16)):
        values = np.random.default_rng(number).gamma(2.0, 20, (213, 90, 3)).astype(dtype)
        tifffile.imwrite(tmp_path / "a.tif", values, **TILES)
        for rule in ("percentile", "zscore"):
            spec = InputSpec(size=(32, 32), fit="patch", intensity=rule, source_bits=8 * values.itemsize)
            found = limits_of_rows(Rows(open_image(tmp_path / "a.tif"), spec), spec, tmp_path / "a.tif")
            assert found == pytest.approx(spec.limits(values), rel=1e-9)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("scale", [0.5, 0.37, 1.6])
def test_scaled_pictures_are_those_in_memory(tmp_path: Path, scale: float) -> None:
    """Bytes that are resized may differ by one gray level, where OpenCV's fixed-point arithmetic rounds."""
    tifffile.imwrite(tmp_path / "a.tif", picture(410, 300), **TILES)
    model = seeing(scale=scale)
    predict_files(model, [tmp_path / "a.tif"], tmp_path / "out", probabilities=True)
    found = tifffile.imread(tmp_path / "out" / "probabilities" / "a.tif", key=0) / 65535
    expected = model.probabilities(read_image(tmp_path / "a.tif"))[..., 0]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 5e-3


@pytest.mark.usefixtures("large")
def test_an_overlay_is_an_overview(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(300, 3000), **TILES)
    predict_files(seeing(4), [tmp_path / "a.tif"], tmp_path / "out", overlay=True)
    assert read_image(tmp_path / "out" / "overlays" / "a.png").shape == (150, 1500, 3)
