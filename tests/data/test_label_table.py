"""What the owner of the data says about mask values: texts, files, challenges; and RGB masks read by it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_mask
from delineate.data.core.label_files import find_labels
from delineate.data.core.label_reading import read_by_table
from delineate.data.core.label_table import parse_labels
from delineate.data.core.manifest import IGNORE, Manifest
from delineate.data.core.mask_values import MaskValues
from delineate.data.doctor.check import check
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data

Pairs = Callable[..., Path]
Write = Callable[[Path, Any], Path]


@pytest.mark.parametrize(
    ("text", "names", "values", "ranges"),
    [
        (
            "0=background,128=cytoplasm,255=nucleus",
            ("background", "cytoplasm", "nucleus"),
            {0: 0, 128: 1, 255: 2},
            (),
        ),
        ("255=nucleus, 128=cytoplasm", ("background", "cytoplasm", "nucleus"), {0: 0, 128: 1, 255: 2}, ()),
        ("1=lesion,255=lesion", ("background", "lesion"), {0: 0, 1: 1, 255: 1}, ()),
        ("1-65535=nucleus", ("background", "nucleus"), {0: 0}, ((1, 65535, 1),)),
        ("1-9=nucleus,5=ignore", ("background", "nucleus"), {0: 0, 5: IGNORE}, ((1, 9, 1),)),
        ("0=background,1=polyp,255=ignore", ("background", "polyp"), {0: 0, 1: 1, 255: IGNORE}, ()),
        ("0=lesion,255=background", ("background", "lesion"), {0: 1, 255: 0}, ()),
        ("0=other tissue,1=polyp", ("other tissue", "polyp"), {0: 0, 1: 1}, ()),
        ("1=Background,2=liver", ("Background", "liver"), {1: 0, 2: 1}, ()),
    ],
)
def test_texts(text: str, names: tuple[str, ...], values: dict[int, int], ranges: tuple[Any, ...]) -> None:
    classes = parse_labels(text).classes
    assert classes.labels is not None
    assert (classes.names, classes.labels.values, classes.labels.ranges) == (names, values, ranges)


def test_colors() -> None:
    table = parse_labels("#FF0000=wall,#00ff00=lumen")
    assert table.names == ("background", "wall", "lumen"), "in the order given"
    assert table.rule.coding == "color"
    assert table.rule.values == {0: 0, 0xFF0000: 1, 0x00FF00: 2}
    assert table.colors == ("#000000", "#ff0000", "#00ff00")
    assert parse_labels("#ffffff=background,#ff0000=wall").rule.values == {0xFFFFFF: 0, 0xFF0000: 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0=background,lesion", "'lesion' is no 'value=name'"),
        ("0=background", "no class beside the background"),
        ("1=a,1=b", "called 'a' and 'b'"),
        ("1-5=a,4-9=b", "called 'a' and 'b'"),
        ("1=a,#ff0000=b", "mixed"),
        ("-1=a", "is no label"),
        ("1=", "is no label"),
        ("70000=a", "no range of values"),
        ("9-3=a", "no range of values"),
        ("1=a,2=A", "upper and lower case"),
        ("x.5=a", "is no label"),
        ("labels-that-are-not-there.yaml", "cannot read the labels"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        parse_labels(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "labels:\n  background: 0\n  cell: [1, 2, 10-19]\n  dirt: 3\n  ignore: 255\n",
        "labels: {0: background, 1: cell, 2: cell, 10-19: cell, 3: dirt, 255: ignore}\n",
        "cell: [1, 2, '10-19']\ndirt: 3\nignore: 255\n",
        "labels:\n- {name: cell, values: [1, 2, 10-19]}\n- {name: dirt, value: 3}\nignore: 255\n",
    ],
)
def test_files(tmp_path: Path, content: str) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(content)
    table = parse_labels(str(path))
    assert table.names == ("background", "cell", "dirt")
    assert [table.rule.index_of(value) for value in (0, 1, 2, 3, 9, 15, 255)] == [0, 1, 1, 2, None, 1, IGNORE]
    assert find_labels(tmp_path) == table
    assert find_labels(tmp_path / "masks") == table, "beside the data, when the masks are given"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("labels: [", "cannot be read"),
        ("labels: 3", "no table"),
        ("labels:\n  no: 0\n", "in quotes"),
        ("labels:\n  cell: 1\n  cell: 2\n", "twice"),
        ("labels:\n  cell: 1.5\n", "no value"),
        ("labels:\n  cell: 1\ncolors: {cells: '#ff0000'}\n", "no label"),
        ("labels:\n  cell: 1\ncolors: {cell: red}\n", "#rrggbb"),
        ("\x00", "cannot be read"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "labels.yaml").write_text(content)
    with pytest.raises(DataError, match=words) as caught:
        find_labels(tmp_path)
    assert "labels.yaml" in str(caught.value)


def test_names_of_challenges(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"labels": {"0": "background", "1": "Anterior", "2": "Posterior"}}))
    assert (found := find_labels(tmp_path)) is not None
    assert found.names == ("background", "Anterior", "Posterior")
    path.write_text(json.dumps({"labels": {"background": 0, "edema": 1, "core": 2, "ignore": 3}}))
    assert (found := find_labels(tmp_path)) is not None
    assert found.rule.values == {0: 0, 1: 1, 2: 2, 3: IGNORE}
    for useless in ({"labels": {"whole": "a", "core": [2]}}, {"labels": 3}, {"name": "x"}, []):
        path.write_text(json.dumps(useless))
        assert find_labels(tmp_path) is None
    path.write_text("{")
    assert find_labels(tmp_path) is None


REGIONS = {"background": 0, "liver": 4, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3], "ignore": 5}


def test_regions_that_overlap_are_read_by_value(tmp_path: Path) -> None:
    """A region's name would be wrong for what is left of it beside the regions inside."""
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": REGIONS}))
    assert (found := find_labels(tmp_path)) is not None
    assert found.names == ("background", "label 1", "label 2", "label 3", "liver")
    assert found.rule.values == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: IGNORE}
    assert found.rule.reason.startswith("dataset.json (regions that overlap: by value): 0 background, 1 label 1")
    assert not found.classes.regions


def test_regions_of_nnunet_are_nested_and_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": REGIONS, "regions_class_order": [4, 1, 2, 3]}))
    assert (found := find_labels(tmp_path)) is not None
    assert found.classes.regions_by_name == {
        "liver": ["liver"],
        "whole": ["label 1", "label 2", "label 3"],
        "core": ["label 2", "label 3"],
        "enhancing": ["label 3"],
    }
    assert [region.paints for region in found.classes.regions] == [4, 1, 2, 3]


def test_values_that_no_region_tells_apart_are_one_class(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3]}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "regions_class_order": [1, 2]}))
    assert (found := find_labels(tmp_path)) is not None
    assert found.rule.values == {0: 0, 1: 1, 2: 2, 3: 2}
    assert found.classes.regions_by_name == {"whole": ["label 1", "label 2"], "core": ["label 2"]}


@pytest.mark.parametrize(
    ("changed", "order", "said"),
    [
        ({}, [1, 2, 3], "'regions_class_order' has 3 values for 4 regions (liver, whole, core, enhancing)"),
        ({}, [1, 2, 3, 4], "'regions_class_order' paints 'liver' as 1, which is none of its values [4]"),
        ({}, [4, 3, 2, 3], "region 'whole' must be painted in a class that is in it and in none inside it: 'label 1'"),
        ({}, [4, "a", 2, 3], "paints 'whole' as 'a'"),
        ({}, 3, "'regions_class_order' has no list of values"),
        ({"core": [2, 4]}, [4, 1, 2, 3], "regions 'whole' and 'core' are not nested: both hold 'label 2'"),
    ],
)
def test_regions_of_nnunet_that_do_not_fit_are_refused(
    tmp_path: Path, changed: dict[str, list[int]], order: object, said: str
) -> None:
    content = {"labels": REGIONS | changed, "regions_class_order": order}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=re.escape(said)) as refused:
        find_labels(tmp_path)
    assert str(refused.value).startswith(str(tmp_path / "dataset.json"))
    (tmp_path / "labels.yaml").write_text("liver: 4\nrest: [1, 2, 3]\n")
    assert (found := find_labels(tmp_path)) is not None
    assert found.names == ("background", "rest", "liver")


def test_regions_in_labels_yaml(tmp_path: Path) -> None:
    labels = "labels: {cytoplasm: 128, nucleus: 255}\n"
    path = tmp_path / "labels.yaml"
    path.write_text(labels + "regions: {cell: [cytoplasm, nucleus], nucleus: [nucleus]}\n")
    assert (found := find_labels(tmp_path)) is not None
    assert found.classes.structures == {"cell": (1, 2), "nucleus": (2,)}
    for wrong, said in {
        "regions: [cell]": "'regions' is no table",
        "regions: {cell: nucleus}": "'regions' is no table",
        "regions: {cell: [cytoplasm, nucleolus]}": "regions: region 'cell': unknown class 'nucleolus': did you mean",
        "regions: {cell: [cytoplasm]}": "regions: class 'nucleus' is in no region",
        "regions: {cell: [nucleus], cell: [cytoplasm]}": "'cell' is there twice",
    }.items():
        path.write_text(f"{labels}{wrong}\n")
        with pytest.raises(DataError, match=re.escape(said)):
            find_labels(tmp_path)


def test_colors_that_jpeg_has_changed_are_not_to_be_named(make_pairs: Pairs) -> None:
    root = make_pairs(["a", "b", "c"])
    for path in (root / "masks").iterdir():
        mask = np.zeros((16, 16, 3), np.uint8)
        mask[2:9, 2:9] = (0, 0, 255)
        path.unlink()
        cv2.imwrite(str(path.with_suffix(".jpg")), mask)
    with pytest.raises(DataError, match=r"stored as JPEG, which changes them.*save masks as PNG") as caught:
        open_data(root)
    assert "--labels" not in str(caught.value)
    with pytest.raises(DataError, match=r"have no name.*save masks as PNG"):
        open_data(DataSource(root, labels="#ff0000=wall"))


def test_a_table_beside_the_data_is_taken_and_said(make_pairs: Pairs) -> None:
    root = make_pairs([f"a{at}" for at in range(5)], value=128)
    (root / "labels.yaml").write_text("labels: {cytoplasm: 128, nucleus: 255}\n")
    manifest, _ = open_data(root)
    assert manifest.classes.names == ("background", "cytoplasm", "nucleus"), "nucleus is in no mask"
    assert "labels.yaml: 0 background, 128 cytoplasm, 255 nucleus" in manifest.labels.reason
    said, _ = open_data(DataSource(root, labels="128=cell"))
    assert said.classes.names == ("background", "cell"), "what is given wins"
    path = root / "manifest.json"
    manifest.save(path)
    assert open_data(path)[0].labels == manifest.labels
    assert open_data(DataSource(path, labels="128=cell"))[0].classes.names == ("background", "cell")


def test_values_without_a_name_are_an_error_that_names_the_file(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs([f"a{at}" for at in range(5)])
    mask = np.zeros((16, 16), np.uint8)
    mask[0, 0] = 77
    write(root / "masks" / "a3.png", mask)
    report = check(DataSource(root, labels="0=background,255=lesion"))
    assert not report.usable
    assert "masks/a3.png has values that have no name: 77 (1 px)" in str(report.findings[0])
    assert check(DataSource(root, labels="77=lesion,255=lesion")).usable


def test_masks_of_two_codings_can_be_named(make_pairs: Pairs) -> None:
    root = make_pairs(["a", "b", "c", "d", "e", "f"], value=1)
    make_pairs(["u", "v", "w", "x", "y", "z"], value=255)
    with pytest.raises(DataError, match="do not agree"):
        open_data(root)
    manifest, census = open_data(DataSource(root, labels="1=lesion,255=lesion"))
    assert manifest.classes.names == ("background", "lesion")
    assert not census.empty


def test_masks_without_background(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(["a", "b", "c", "d", "e"])
    for at, stem in enumerate("abcde"):
        mask = np.ones((16, 16), np.uint8)
        mask[2:9, 3 : 5 + at] = 2
        write(root / "masks" / f"{stem}.png", mask)
    with pytest.raises(DataError, match="no mask has background"):
        open_data(root)
    manifest, _ = open_data(DataSource(root, labels="1=background,2=liver"))
    mask = case_mask(manifest, manifest.cases[0])
    assert mask is not None
    assert mask.sum() == 14


def test_noise_is_thresholded_by_name(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(["a", "b", "c", "d", "e"], size=64)
    for stem in "abcde":
        mask = np.zeros((64, 64), np.uint8)
        cv2.circle(mask, (30, 30), 17, 255, -1)
        _, content = cv2.imencode(".jpg", mask)
        write(root / "masks" / f"{stem}.png", cv2.imdecode(content, cv2.IMREAD_GRAYSCALE))
    manifest, _ = open_data(DataSource(root, labels="0=background,255=polyp"))
    assert manifest.labels.threshold == 128
    assert manifest.classes.names == ("background", "polyp")
    assert "128 and above is polyp" in manifest.labels.reason


def test_masks_painted_in_colors(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(["a", "b", "c", "d", "e"])
    for at, stem in enumerate("abcde"):
        mask = np.zeros((16, 16, 3), np.uint8)
        if at:  # one without color, which alone would pass for gray
            mask[2:6, 2:6], mask[8:12, 8:14] = (255, 0, 0), (0, 255, 0)
        write(root / "masks" / f"{stem}.png", mask)
    with pytest.raises(DataError, match=r"painted in colors: #000000 \(216 px\), #00ff00 \(24 px\).*--labels"):
        open_data(root)
    manifest, census = open_data(DataSource(root, labels="#ff0000=wall,#00ff00=lumen"))
    assert manifest.classes.names == ("background", "wall", "lumen")
    assert census.empty == {"a"}
    mask = case_mask(manifest, manifest.cases[1])
    assert mask is not None
    assert np.bincount(mask.ravel()).tolist() == [216, 16, 24]
    assert any(
        row == ("mapping", "#000000 → 0 background, #00ff00 → 2 lumen, #ff0000 → 1 wall")
        for row in check(DataSource(root, labels="#ff0000=wall,#00ff00=lumen")).rows
    )
    with pytest.raises(DataError, match="#00ff00"):
        open_data(DataSource(root, labels="#ff0000=wall"))


def test_old_manifests_have_no_table(tmp_path: Path) -> None:
    text = {
        "format": 1, "root": str(tmp_path), "layout": "x", "split_origin": "",
        "classes": {"names": ["background", "class 2", "class 4"]},
        "labels": {"threshold": None, "values": {"0": 0, "2": 1, "4": 2}, "reason": "label ids 0, 2, 4"},
    }  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(text))
    manifest = Manifest.load(tmp_path / "m.json")
    assert manifest.labels.coding is None
    assert manifest.table.labels == manifest.labels


@given(st.dictionaries(st.integers(0, 65535), st.sampled_from("abcdef"), min_size=2, max_size=12))
def test_every_named_value_is_read_and_no_other(named: dict[int, str]) -> None:
    """Random tables: each value becomes the class of its name; any other value is refused, with the file's name."""
    text = ",".join(f"{value}={name}" for value, name in named.items())
    try:
        table = parse_labels(text)
    except DataError:
        assert len(set(named.values())) < 2
        return
    known = {**({} if 0 in named else {0: table.names[0]}), **named}
    reading = read_by_table(table.classes, [MaskValues("a.png", dict.fromkeys(known, 1))])
    for value, name in known.items():
        index = reading.rule.index_of(value)
        assert index is not None
        assert table.names[index] == name
    stray = next(value for value in range(65536) if value not in known)
    with pytest.raises(DataError, match=rf"b\.png has values that have no name: {stray} \(1 px\)"):
        read_by_table(table.classes, [MaskValues("a.png", {0: 1}), MaskValues("b.png", {stray: 1})])
