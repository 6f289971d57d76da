"""Outlines of masks: filled again they are the mask, whatever it is and however its rows come."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import read_mask
from delineate.inference import outlines as outlines_module
from delineate.inference import streaming
from delineate.inference.files import predict_files
from delineate.inference.geojson import write_geojson
from delineate.inference.outlines import Outlines, Polygon
from delineate.inference.predictor import Predictor
from micro_method import brightness


def traced(mask: np.ndarray, step: int = 1000) -> list[tuple[int, Polygon]]:
    outlines = Outlines(mask.shape[1])
    for top in range(0, len(mask), step):
        outlines.add(mask[top : top + step])
    return list(outlines.polygons())


def filled(polygons: list[tuple[int, Polygon]], shape: tuple[int, int]) -> np.ndarray:
    """By the even-odd rule, row by row: a pixel is inside where an odd number of vertical edges lies to its left."""
    result = np.zeros(shape, np.uint8)
    for index in {index for index, _ in polygons}:
        crossings = np.zeros((shape[0], shape[1] + 1), int)
        for ring in (ring for of, polygon in polygons for ring in polygon if of == index):
            for (x, y), (right, below) in zip(ring, ring[1:] + ring[:1], strict=True):
                if x == right:
                    crossings[min(y, below) : max(y, below), x] += 1
        inside = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
        assert not result[inside].any()
        result[inside] = index
    return result


def masks(classes: int) -> st.SearchStrategy[np.ndarray]:
    size = st.tuples(st.integers(1, 14), st.integers(1, 14))
    return st.tuples(size, st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.5, 0.8])).map(
        lambda drawn: np.where(
            np.random.default_rng(drawn[1]).random(drawn[0]) < drawn[2],
            np.random.default_rng(drawn[1] + 1).integers(1, classes + 1, drawn[0]),
            0,
        ).astype(np.uint8)
    )


@settings(max_examples=300, deadline=None)
@given(st.one_of(masks(1), masks(3)), st.integers(1, 5))
def test_filling_the_outlines_gives_the_mask(mask: np.ndarray, step: int) -> None:
    found = traced(mask, step)
    assert np.array_equal(filled(found, mask.shape), mask)
    parts = sum(cv2.connectedComponents((mask == index).astype(np.uint8), connectivity=4)[0] - 1 for index in (1, 2, 3))
    assert len(found) == parts
    for _, polygon in found:
        for ring in polygon:
            assert len(set(ring)) == len(ring)  # no ring touches itself
            sides = list(zip(ring, ring[1:] + ring[:1], strict=True))
            assert all((one[0] == two[0]) != (one[1] == two[1]) for one, two in sides)


def test_a_hole_belongs_to_what_surrounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines_module, "_ROWS", 3)
    mask = np.zeros((40, 40), np.uint8)
    for side, value in ((19, 1), (15, 0), (11, 1), (7, 0), (3, 1)):
        mask[20 - side : 20 + side, 20 - side : 20 + side] = value
    found = traced(mask)
    assert sorted(len(polygon) for _, polygon in found) == [1, 2, 2]
    outer = max(found, key=lambda one: np.ptp(np.array(one[1][0])))
    assert [min(ring) for ring in outer[1]] == [(1, 1), (5, 5)]


def test_large_masks_take_seconds() -> None:
    blobs = cv2.GaussianBlur(np.random.default_rng(0).random((1500, 1500)), (0, 0), 6)
    mask = (blobs > np.median(blobs)).astype(np.uint8)
    assert np.array_equal(filled(traced(mask), mask.shape), mask)


def test_the_file_is_what_viewers_expect(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:4, 2:5], mask[5, 7] = 1, 2
    outlines = Outlines(8)
    outlines.add(mask)
    table = ClassTable(names=("background", "Tümor", "stroma"))
    assert write_geojson(tmp_path / "a.geojson", outlines, table, zoom=(4.0, 2.5)) == 2
    content = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))
    first = content["features"][0]
    assert content["type"] == "FeatureCollection"
    assert first["properties"]["objectType"] == "annotation"
    assert first["properties"]["classification"]["name"] == "Tümor"
    assert first["geometry"]["coordinates"] == [[[5.0, 4.0], [12.5, 4.0], [12.5, 16.0], [5.0, 16.0], [5.0, 4.0]]]
    empty = Outlines(8)
    assert write_geojson(tmp_path / "none.geojson", empty, table) == 0
    assert json.loads((tmp_path / "none.geojson").read_text())["features"] == []


def model() -> Predictor:
    return Predictor(Artefact(brightness(1, 3), InputSpec(size=(64, 64), fit="patch"), ClassTable()), "cpu")


@pytest.mark.parametrize("streamed", [True, False])
def test_predict_writes_outlines_beside_masks(tmp_path: Path, streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LARGE", 1 if streamed else 1 << 40)
    image = np.zeros((600, 800, 3), np.uint8)
    cv2.circle(image, (400, 300), 150, (255, 255, 255), -1)
    cv2.circle(image, (400, 300), 50, (0, 0, 0), -1)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64), photometric="rgb", compression="zlib", metadata=None)
    predict_files(model(), [tmp_path / "a.tif"], tmp_path / "out", format="geojson")
    mask = read_mask(tmp_path / "out" / "a.tif")
    content = json.loads((tmp_path / "out" / "outlines" / "a.geojson").read_text())
    (feature,) = content["features"]
    rings = [[tuple(place) for place in ring[:-1]] for ring in feature["geometry"]["coordinates"]]
    assert len(rings) == 2
    assert np.array_equal(filled([(1, rings)], mask.shape), mask // 255)
    again = predict_files(model(), [tmp_path / "a.tif"], tmp_path / "out", overwrite=True)
    assert not again.failures
    assert not (tmp_path / "out" / "outlines").exists()


def test_volumes_have_no_outlines(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "v.tif", np.zeros((4, 70, 70), np.uint8), photometric="minisblack", metadata={"axes": "ZYX"}
    )
    with pytest.raises(DataError, match="volume"):
        predict_files(model(), [tmp_path / "v.tif"], tmp_path / "out", format="geojson")
