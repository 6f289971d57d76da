"""GeoJSON as QuPath writes it, as a data set: holes, classes, which image is meant, what is refused; and masks drawn in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotated_sets import CORNER, HEIGHT, SQUARE, WIDTH, mask_of, opened, write_images
from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_mask
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.annotations.outlines import Bitmap, Circle, Mark, Outline, Rings, boxes_of, painted
from delineate.data.formats.registry import open_image
from delineate.inference.geojson import write_geojson
from delineate.inference.outlines import Outlines

NAMES = ["a.png", "b.png", "c.png", "d.png"]
INNER = [6.0, 7.0, 10.0, 7.0, 10.0, 11.0, 6.0, 11.0]
"""Rows 7…10, columns 6…9 of the square: 16 pixels."""


def ring(numbers: list[float]) -> list[list[float]]:
    points = np.reshape(numbers, (-1, 2)).tolist()
    return [*points, points[0]]


def feature(name: str | None = "tumor", *rings: list[float], kind: str = "Polygon", **about: Any) -> dict[str, Any]:
    """A feature as QuPath writes it: a square unless rings are given."""
    found = [ring(one) for one in rings or (SQUARE,)]
    coordinates = found if kind == "Polygon" else [[one] for one in found]
    known = {} if name is None else {"classification": {"name": name, "color": [200, 0, 0]}}
    properties = {"objectType": "annotation", **known, **about}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


def write(path: Path, *features: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with four images."""
    write_images(tmp_path / "set" / "images", NAMES)
    return tmp_path / "set"


def test_annotations_of_qupath_become_masks(root: Path) -> None:
    write(root / "outlines" / "a.geojson", feature("tumor", SQUARE, INNER))
    write(root / "outlines" / "b.geojson", feature("stroma"), feature("tumor", CORNER, INNER, kind="MultiPolygon"))
    write(root / "outlines" / "c.geojson", feature("tumor"), feature("Ignore*", CORNER))
    manifest = opened(root)
    assert manifest.layout == "GeoJSON outlines"
    assert manifest.classes.names == ("background", "stroma", "tumor")
    one = mask_of(manifest, "a")
    assert one[5:15, 4:14].sum() == 2 * (100 - 16)
    assert not one[7:11, 6:10].any()
    two = mask_of(manifest, "b")
    assert (two == 2).sum() == 100 + 16
    assert (two == 1).sum() == 100 - 20 - 16
    assert np.bincount(mask_of(manifest, "c").ravel(), minlength=256)[[2, 255]].tolist() == [80, 100]
    told = " | ".join(manifest.notes)
    assert "3 files of GeoJSON: 6 shapes drawn as masks" in told
    assert "objects of different classes overlap in 2 images (b, c)" in told
    assert [case.id for case in manifest.cases if not case.masks] == ["d"]  # nobody has exported it


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([feature("x"), feature("x", CORNER)], id="list"),
        pytest.param(feature("x"), id="single"),
        pytest.param({"type": "FeatureCollection", "features": [feature("x")]}, id="json"),
    ],
)
def test_older_forms_are_read_too(content: Any, root: Path) -> None:
    name = "a.json" if isinstance(content, dict) and "features" in content else "a.geojson"
    (root / "images" / name).write_text(json.dumps(content))
    for other in "bcd":
        write(root / "images" / f"{other}.geojson", feature("x"))
    manifest = opened(root)
    assert manifest.classes.names == ("background", "x")
    assert mask_of(manifest, "a").any()


def test_classes_are_named_as_qupath_shows_them(root: Path) -> None:
    below = feature(None) | {"properties": {"classification": {"names": ["Tumor", "Positive"]}}}
    write(root / "a.geojson", below)
    write(root / "b.geojson")
    write(root / "c.geojson", feature("Tumor", objectType="detection"))
    manifest = opened(root)
    assert manifest.classes.names == ("background", "Tumor", "Tumor: Positive")
    assert not mask_of(manifest, "b").any()


def test_objects_without_a_class_are_annotations(root: Path) -> None:
    root_object = feature(None, [0.0, 0.0, 32.0, 0.0, 32.0, 24.0, 0.0, 24.0], objectType="root")
    for name in "abcd":
        write(root / f"{name}.geojson", root_object, feature(None))
    manifest = opened(root)
    assert manifest.classes.names == ("background", "annotation")
    assert mask_of(manifest, "a").sum() == 100


def test_the_image_is_the_one_of_that_name(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "images", ["1.png", "2.png"])
    write_images(tmp_path / "test" / "images", ["1.png", "2.png"])
    for split, numbers in (("train", SQUARE), ("test", CORNER)):
        write(tmp_path / split / "outlines" / "1.png.geojson", feature("x", numbers))
        write(tmp_path / split / "outlines" / "2.geojson", feature("x", numbers))
    manifest = opened(tmp_path)
    assert len(manifest.split("test")) == 2
    for case in manifest.cases:
        mask = case_mask(manifest, case)
        assert mask is not None
        assert bool(mask[5, 5]) == (case.split != "test")
        assert mask.sum() == 100


def test_two_images_of_one_name_are_not_guessed(root: Path) -> None:
    write_images(root / "images", ["a.bmp"])
    write(root / "a.geojson", feature())
    write(root / "e.geojson", feature())
    with pytest.raises(DataError, match=r"1 image of GeoJSON that is not in .*: e \(e\.geojson\)"):
        opened(root)
    (root / "e.geojson").unlink()
    with pytest.raises(DataError, match=r"could be several files of .*images/a\.bmp.*images/a\.png"):
        opened(root)


OPEN = {"type": "Polygon", "coordinates": [[[1, 1], [5, 1]]]}
PLANE = {"type": "Polygon", "coordinates": [ring(SQUARE)], "plane": {"c": -1, "z": 3, "t": 0}}
WRONG = {
    "region": (feature("Region*"), r"feature 2 has the class 'Region\*'"),
    "kind": (
        feature() | {"geometry": {"type": "GeometryCollection", "geometries": []}},
        r"feature 2 has the kind 'Geom",
    ),
    "corners": (feature() | {"geometry": OPEN}, r"feature 2 has an outline of 2 corners"),
    "text": (feature() | {"geometry": {"type": "Polygon", "coordinates": "x"}}, r"feature 2 has "),
    "nothing": (feature() | {"geometry": None}, r"feature 2 has no geometry"),
    "plane": (feature() | {"geometry": PLANE}, r"feature 2 has an outline on another plane"),
    "infinite": (feature("tumor", [1.0, 1.0, 9.0, 1.0, float("inf"), 9.0]), r"a\.geojson is no JSON|no finite number"),
    "name": (feature(" "), r"feature 2 has a class without a name"),
    "unclassified": (feature(None), r"a\.geojson has annotations without a class"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_file_is_refused_by_name(name: str, root: Path) -> None:
    wrong, message = WRONG[name]
    write(root / "a.geojson", feature(), wrong)
    with pytest.raises(DataError, match=message) as caught:
        opened(root)
    assert "a.geojson" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_features_is_refused(root: Path) -> None:
    (root / "a.geojson").write_text('{"type": "FeatureCollection"}')
    with pytest.raises(DataError, match=r"a\.geojson is no GeoJSON with a list of features; export it anew"):
        opened(root)


def test_outlines_of_another_level_of_the_slide_are_told(root: Path) -> None:
    write(root / "a.geojson", feature("tumor", [4 * x for x in CORNER], [4 * x + 1 for x in INNER]))
    for name in "bcd":
        write(root / f"{name}.geojson", feature())
    assert "1 outline lies outside of the picture: a" in " | ".join(opened(root).notes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_what_predict_writes_is_the_mask_again(tmp_path_factory: pytest.TempPathFactory, seed: int, top: int) -> None:
    root = tmp_path_factory.mktemp("round")
    write_images(root, NAMES)
    mask = np.random.default_rng(seed).integers(0, top + 1, (HEIGHT, WIDTH), np.uint8)
    mask[0, : top + 1] = range(top + 1)
    outlines = Outlines(WIDTH)
    outlines.add(mask)
    names = ("background", "x1", "x2", "x3")[: top + 1]
    for name in "abcd":
        write_geojson(root / f"{name}.geojson", outlines, ClassTable(names=names))
        outlines = Outlines(WIDTH)
        outlines.add(np.ones_like(mask))
    manifest = opened(root)
    assert manifest.classes.names == names
    assert np.array_equal(mask_of(manifest, "a"), mask)


NUMBERS = st.floats(-6, 40, width=32)
CORNERS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=8).map(np.array)
SEGMENTS = st.one_of(
    CORNERS.map(Outline),
    st.lists(CORNERS, min_size=1, max_size=3).map(lambda rings: Rings(tuple(rings))),
    st.builds(Circle, NUMBERS, NUMBERS, st.floats(0, 20)),
    st.builds(Bitmap, st.integers(-5, 30), st.integers(-5, 30), st.just(np.eye(7, 5, dtype=bool))),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), SEGMENTS), max_size=5), st.data())
def test_a_part_is_drawn_as_in_the_whole(drawn: list[tuple[int, Any]], data: st.DataObject) -> None:
    size = 24, 32
    marks = [Mark(value, (segment,)) for value, segment in drawn]
    whole = painted(marks, size)
    (top, bottom), (left, right) = (sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in size)
    part = painted(marks, size, (top, left, bottom, right))
    assert part.dtype == whole.dtype
    assert np.array_equal(part, whole[top:bottom, left:right])
    for (first, start, last, end), mark in zip(boxes_of(marks, size), marks, strict=True):
        rows, columns = np.nonzero(painted([mark], size))
        assert not rows.size or (first < rows.max() + 1 and rows.min() < last)
        assert not rows.size or (start < columns.max() + 1 and columns.min() < end)


def test_a_mask_of_outlines_is_read_by_windows(root: Path) -> None:
    for name in "abcd":
        write(root / f"{name}.geojson", feature("tumor", SQUARE, INNER), feature("stroma", CORNER))
    manifest = opened(root)
    path = manifest.path(manifest.cases[0].masks[0])
    whole = open_image(path).read()
    handle = open_image(path)
    for y, x, height, width in ((0, 0, 24, 32), (6, 5, 9, 20), (20, 25, 9, 20), (0, 20, 4, 4)):
        window = handle.window(y, x, height, width)
        assert window.dtype == whole.dtype == handle.dtype
        assert np.array_equal(window, whole[y : y + height, x : x + width])
    assert "_pixels" not in vars(handle)  # nothing was drawn whole
