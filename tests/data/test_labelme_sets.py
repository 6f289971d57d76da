"""labelme's files as a data set: shapes, names, images beside, elsewhere and inside of the file; what is told and refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from annotated_sets import CORNER, HEIGHT, SQUARE, WIDTH, labelme_shape, mask_of, opened, write_images, write_labelme
from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_image

STEMS = "abcdef"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images, each with a file of one square."""
    write_images(tmp_path / "set", [f"{stem}.png" for stem in STEMS])
    for stem in STEMS:
        write_labelme(tmp_path / "set" / f"{stem}.json", f"{stem}.png", [labelme_shape("polyp")])
    return tmp_path / "set"


def png(pixels: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


def test_all_shapes_that_mark_an_area_are_drawn_with_the_names_of_the_files(root: Path) -> None:
    bits = np.zeros((4, 6), np.uint8)
    bits[1:3, 2:5] = 255
    shapes = {
        "a": [labelme_shape("wall", [14, 15, 4, 5], "rectangle")],
        "b": [labelme_shape("wall", [10, 10, 13, 14], "circle")],
        "c": [labelme_shape("wall", [3, 7, 8, 10], "mask", mask=png(bits))],
        "d": [labelme_shape("polyp"), labelme_shape("wall", CORNER)],
        "e": [],
    }
    for stem, given in shapes.items():
        write_labelme(root / f"{stem}.json", f"{stem}.png", given)
    manifest = opened(root)
    assert manifest.layout == "labelme outlines"
    assert (manifest.classes.names, manifest.labels.values) == (("background", "polyp", "wall"), {0: 0, 1: 1, 2: 2})
    assert (mask_of(manifest, "a")[5:15, 4:14] == 2).all()
    assert (mask_of(manifest, "a") == 2).sum() == 100
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    assert (mask_of(manifest, "b") == 2 * ((rows - 10) ** 2 + (columns - 10) ** 2 <= 25)).all()
    assert np.argwhere(mask_of(manifest, "c") == 2).tolist() == [[y, x] for y in (8, 9) for x in (5, 6, 7)]
    assert np.bincount(mask_of(manifest, "d").ravel()).tolist()[1:] == [80, 100]
    told = " | ".join(manifest.notes)
    assert "6 files of labelme: 6 shapes drawn as masks" in told
    assert "nothing is marked on 1 of 6 images" in told
    assert "objects of different classes overlap in 1 image (d)" in told


def test_names_for_background_and_for_what_is_ignored_are_no_classes(root: Path) -> None:
    shapes = [labelme_shape("polyp"), labelme_shape("_background_", [4, 5, 8, 9], "rectangle")]
    write_labelme(root / "a.json", "a.png", [*shapes, labelme_shape("__ignore__", [20, 0, 32, 24], "rectangle")])
    manifest = opened(root)
    assert manifest.classes.names == ("background", "polyp")
    assert np.bincount(mask_of(manifest, "a").ravel())[[1, 255]].tolist() == [84, 288]


def test_an_image_without_a_file_is_unlabeled_unless_it_is_said_to_be_background(root: Path) -> None:
    (root / "f.json").unlink()
    manifest = opened(root)
    assert [case.id for case in manifest.cases if not case.masks] == ["f"]
    assert any("read as unlabeled: f; --unmarked background" in note for note in manifest.notes)
    manifest = opened(root, unmarked="background")
    assert mask_of(manifest, "f").shape == (HEIGHT, WIDTH)
    assert not mask_of(manifest, "f").any()


def test_shapes_without_area_are_named_and_left_out(root: Path) -> None:
    write_labelme(root / "a.json", "a.png", [labelme_shape("polyp"), labelme_shape("tip", [3, 3], "point")])
    manifest = opened(root)
    assert manifest.classes.names == ("background", "polyp")
    assert any("shapes that mark no area are not used: 1 point (first in a.json)" in note for note in manifest.notes)


def test_names_that_differ_in_a_number_are_warned_of(root: Path) -> None:
    write_labelme(root / "a.json", "a.png", [labelme_shape("polyp-1"), labelme_shape("polyp-2", CORNER)])
    manifest = opened(root)
    assert manifest.classes.names == ("background", "polyp", "polyp-1", "polyp-2")
    assert any(
        "polyp-1, polyp-2; if they are objects of one class, --labels 2=polyp,3=polyp" in note
        for note in manifest.notes
    )
    assert opened(root, labels="1=polyp,2=polyp,3=polyp").classes.names == ("background", "polyp")


def test_files_in_a_folder_of_their_own_find_their_images(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "images", [f"{stem}.png" for stem in STEMS])
    for stem in STEMS:
        write_labelme(
            tmp_path / "train" / "labels" / f"{stem}.json", f"..\\images\\{stem}.png", [labelme_shape("polyp")]
        )
    manifest = opened(tmp_path)
    assert len(manifest.split("train")) + len(manifest.split("val")) == 6
    assert mask_of(manifest, "a").sum() == 100


def test_an_image_that_lies_in_its_file_alone_is_read_from_there(root: Path) -> None:
    content = (root / "a.png").read_bytes()
    write_labelme(root / "a.json", "a.png", [labelme_shape("polyp")], imageData=base64.b64encode(content).decode())
    before = opened(root)
    pixels = case_image(before, next(case for case in before.cases if case.id == "a"))
    (root / "a.png").unlink()
    manifest = opened(root)
    case = next(case for case in manifest.cases if case.id == "a")
    assert case.images == ("a.json#image:",)
    assert (case_image(manifest, case) == pixels).all()


def test_a_size_that_the_file_does_not_tell_is_that_of_the_image(root: Path) -> None:
    write_labelme(root / "a.json", "a.png", [labelme_shape("polyp")], imageHeight=None, imageWidth=None)
    assert mask_of(opened(root), "a").sum() == 100


WRONG: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "kind": ([labelme_shape("polyp", kind="spline")], {}, r"a\.json: shape 1 has the kind 'spline', which is not read"),
    "few points": ([labelme_shape("polyp", [1, 2, 3, 4])], {}, r"shape 1 has 2 points, too few for a polygon"),
    "no label": ([labelme_shape("polyp"), labelme_shape(" ")], {}, r"shape 2 has no label"),
    "not finite": ([labelme_shape("polyp", [1, 2, 3, 4, 5, float("inf")])], {}, r"no finite number"),
    "text": ([labelme_shape("polyp") | {"points": [["x", 1]]}], {}, r"a\.json: shape 1 has "),
    "no points": ([{"label": "polyp"}], {}, r"a\.json: shape 1 has "),
    "mask": ([labelme_shape("polyp", [1, 1, 3, 3], "mask", mask="####")], {}, r"a\.json: shape 1 has "),
    "other size": (
        [labelme_shape("polyp")],
        {"imageWidth": 99},
        r"a\.json#labelme:polyp=1 is 99×24 pixels but its image",
    ),
    "two cases": ([labelme_shape("Polyp")], {}, r"differ only in upper and lower case"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_file_is_refused_by_name(name: str, root: Path) -> None:
    shapes, more, message = WRONG[name]
    write_labelme(root / "a.json", "a.png", shapes, **more)
    with pytest.raises(DataError, match=message) as caught:
        opened(root)
    assert "\n" not in str(caught.value)


def test_files_without_images_and_images_with_two_files_are_refused(root: Path) -> None:
    write_labelme(root / "more" / "z.json", "z.png", [labelme_shape("polyp")])
    with pytest.raises(DataError, match=r"1 image of labelme that is not in .*: z\.png \(more/z\.json\)"):
        opened(root)
    write_labelme(root / "more" / "z.json", "a.png", [labelme_shape("polyp", SQUARE)])
    with pytest.raises(DataError, match=r"1 image has outlines in several places, such as a\.json and more/z\.json"):
        opened(root)
