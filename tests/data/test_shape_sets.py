"""Files of CVAT, the VGG Image Annotator and Label Studio as data sets: what is drawn, which split it is, what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotated_sets import CORNER, HEIGHT, SQUARE, WIDTH, mask_of, opened, write_images
from delineate.common.errors import DataError

NAMES = [f"{letter}.png" for letter in "abcdef"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with six images."""
    write_images(tmp_path / "set" / "images", NAMES)
    return tmp_path / "set"


def cvat(path: Path, shapes: Sequence[str], subsets: Sequence[str] = (), more: str = "") -> None:
    """CVAT's XML: image n has the shapes `shapes[n]`."""
    images = []
    for at, (name, inside) in enumerate(zip(NAMES, shapes, strict=True)):
        subset = f' subset="{subsets[at]}"' if subsets else ""
        images.append(f'<image id="{at}" name="{name}"{subset} width="{WIDTH}" height="{HEIGHT}">{inside}</image>')
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>{more}{"".join(images)}</annotations>'
    path.write_text(text)


def polygon(label: str, numbers: Sequence[float] = SQUARE, order: int = 0) -> str:
    points = ";".join(f"{x},{y}" for x, y in np.reshape(numbers, (-1, 2)))
    return f'<polygon label="{label}" source="manual" occluded="0" points="{points}" z_order="{order}"></polygon>'


def via(path: Path, regions: Sequence[Sequence[dict[str, Any]]], project: bool = False) -> None:
    """The annotator's JSON: image n has the regions `regions[n]`."""
    content: dict[str, Any] = {
        f"{name}{number}": {"filename": name, "size": number, "regions": list(own), "file_attributes": {}}
        for number, (name, own) in enumerate(zip(NAMES, regions, strict=True), start=1000)
    }
    path.write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": content} if project else content))


def region(label: Any = "polyp", numbers: Sequence[float] = SQUARE, **shape: Any) -> dict[str, Any]:
    points = np.reshape(numbers, (-1, 2))
    where = {"name": "polygon", "all_points_x": points[:, 0].tolist(), "all_points_y": points[:, 1].tolist()}
    return {"shape_attributes": shape or where, "region_attributes": {"class": label}}


def studio(path: Path, results: Sequence[Sequence[dict[str, Any]] | None]) -> None:
    """Label Studio's JSON: task n has the results `results[n]`; None: nobody has labeled it."""
    tasks = [
        {
            "id": at + 1,
            "data": {"image": f"/data/upload/1/{name}", "note": "x"},
            "annotations": [] if own is None else [{"id": at, "was_cancelled": False, "result": list(own)}],
        }
        for at, (name, own) in enumerate(zip(NAMES, results, strict=True))
    ]
    path.write_text(json.dumps(tasks))


def result(
    label: str = "polyp", numbers: Sequence[float] = SQUARE, kind: str = "polygonlabels", **value: Any
) -> dict[str, Any]:
    points = (np.reshape(numbers, (-1, 2)) * 100 / (WIDTH, HEIGHT)).tolist()
    own = value or {"points": points, "closed": True}
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"type": kind, "value": {**own, kind: [label]}, **sizes}


def test_shapes_of_cvat_lie_as_it_says_and_its_subsets_are_the_splits(root: Path) -> None:
    bits = '<mask label="wall" rle="2, 3, 1" left="4" top="6" width="3" height="2"></mask>'
    oval = '<ellipse label="wall" cx="10" cy="10" rx="5" ry="5"></ellipse>'
    shapes = [polygon("polyp"), bits, oval, polygon("wall", CORNER, 1) + polygon("polyp"), polygon("polyp"), ""]
    cvat(root / "annotations.xml", shapes, ["Train"] * 4 + ["Validation"] * 2)
    manifest = opened(root)
    assert (manifest.layout, manifest.split_origin) == ("CVAT outlines", "files")
    assert manifest.classes.names == ("background", "polyp", "wall")
    assert (len(manifest.split("train")), len(manifest.split("val"))) == (4, 2)
    assert (mask_of(manifest, "a")[5:15, 4:14] == 1).all()
    assert np.argwhere(mask_of(manifest, "b")).tolist() == [[6, 6], [7, 4], [7, 5]]
    assert abs((mask_of(manifest, "c") == 2).sum() - 25 * math.pi) < 3
    assert np.bincount(mask_of(manifest, "d").ravel()).tolist()[1:] == [
        80,
        100,
    ]  # the wall lies higher, though it comes first
    told = " | ".join(manifest.notes)
    assert "annotations.xml of CVAT: 6 shapes drawn as masks" in told
    assert "nothing is marked on 1 of 6 images" in told


@pytest.mark.parametrize("project", [False, True], ids=["annotations", "project"])
def test_regions_of_the_vgg_annotator_become_masks(project: bool, root: Path) -> None:
    regions = [
        [region()],
        [region("wall", name="rect", x=4, y=5, width=10, height=10)],
        [region("wall", name="circle", cx=10, cy=10, r=5)],
        [region("wall", name="ellipse", cx=10, cy=10, rx=5, ry=5)],
        [region({"polyp": True, "wall": False})],
        [],
    ]
    via(root / "via_project.json", regions, project)
    manifest = opened(root)
    assert manifest.layout == "VGG Image Annotator outlines"
    assert manifest.classes.names == ("background", "polyp", "wall")
    assert (mask_of(manifest, "b") == 2 * mask_of(manifest, "a")).all()
    assert (mask_of(manifest, "e") == mask_of(manifest, "a")).all()
    assert mask_of(manifest, "a").sum() == 100
    assert abs((mask_of(manifest, "c") > 0).sum() - (mask_of(manifest, "d") > 0).sum()) <= 2
    assert not mask_of(manifest, "f").any()


def test_results_of_label_studio_become_masks(root: Path) -> None:
    oval = result("wall", kind="ellipselabels", x=31.25, y=41.666, radiusX=15.625, radiusY=20.833, rotation=0)
    studio(root / "project-1.json", [[result()], [oval], [result("wall", CORNER), result()], [result()], [], None])
    manifest = opened(root)
    assert manifest.layout == "Label Studio outlines"
    assert mask_of(manifest, "a").sum() == 100
    assert abs((mask_of(manifest, "b") == 2).sum() - 25 * math.pi) < 3
    assert np.bincount(mask_of(manifest, "c").ravel()).tolist()[1:] == [100, 80]
    assert not mask_of(manifest, "e").any()
    assert [case.id for case in manifest.cases if not case.masks] == ["f"]


def test_a_change_of_one_image_changes_the_digest_of_its_mask_alone(root: Path) -> None:
    via(root / "via.json", [[region()]] * 6)
    before = {case.id: case.hashes for case in opened(root).cases}
    via(root / "via.json", [[region()]] * 2 + [[region("polyp", CORNER)]] + [[region()]] * 3)
    after = {case.id: case.hashes for case in opened(root).cases}
    assert [name for name in before if before[name] != after[name]] == ["c"]


def of_cvat(inside: str, more: str = "") -> Callable[[Path], None]:
    return lambda root: cvat(root / "annotations.xml", [inside] + [polygon("polyp")] * 5, more=more)


def of_via(own: dict[str, Any]) -> Callable[[Path], None]:
    return lambda root: via(root / "via.json", [[own]] + [[region()]] * 5)


def of_studio(own: Sequence[dict[str, Any]]) -> Callable[[Path], None]:
    return lambda root: studio(root / "project.json", [own] + [[result()]] * 5)


BOX = '<box label="polyp" xtl="1" ytl="1" xbr="9" ybr="9"></box>'
TWO = {"shape_attributes": region()["shape_attributes"], "region_attributes": {"shade": "dark", "place": "left"}}
WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "CVAT box": (of_cvat(BOX), r"a box of a\.png has no outline: a box marks no shape"),
    "CVAT points": (of_cvat('<polygon label="polyp" points="1,2;x,4"></polygon>'), r"a polygon of a\.png has "),
    "CVAT label": (of_cvat('<polygon points="1,2;3,4;5,9"></polygon>'), r"a polygon of a\.png has no label"),
    "CVAT runs": (
        of_cvat('<mask label="w" rle="2, 3" left="4" top="6" width="3" height="2"></mask>'),
        r"do not fill its 3×2",
    ),
    "CVAT track": (of_cvat("", '<track id="0" label="polyp"></track>'), r"holds tracks of a video"),
    "CVAT XML": (lambda root: (root / "a.xml").write_text("<annotations><image>") and None, r"a\.xml is no XML"),
    "CVAT document type": (
        lambda root: (root / "a.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations></annotations>') and None,
        r"a\.xml defines a document type",
    ),
    "VIA kind": (of_via(region(name="spline", x=1)), r"region 1 of a\.png has the kind 'spline'"),
    "VIA class": (of_via(region("")), r"region 1 of a\.png has no one 'class'"),
    "VIA numbers": (of_via(region(name="circle", cx=1, cy=None, r=2)), r"region 1 of a\.png has "),
    "VIA attributes": (of_via(TWO), r"which is the class\?|has no one 'class'"),
    "Studio box": (
        of_studio([result(kind="rectanglelabels", x=1, y=1, width=5, height=5)]),
        r"task 1 has the kind 'rectanglelabels'",
    ),
    "Studio brush": (
        of_studio([result(kind="brushlabels", format="rle", rle=[1])]),
        r"task 1 has a painted mask, .* export",
    ),
    "Studio labels": (
        of_studio([result() | {"value": {"points": [], "polygonlabels": []}}]),
        r"task 1 has a polygonlabels with 0",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_file_is_refused_by_name(name: str, root: Path) -> None:
    write, message = WRONG[name]
    write(root)
    with pytest.raises(DataError, match=message) as caught:
        opened(root)
    assert "\n" not in str(caught.value)


def test_two_annotations_of_one_task_are_refused(root: Path) -> None:
    studio(root / "project.json", [[result()]] * 6)
    content = json.loads((root / "project.json").read_text())
    content[2]["annotations"] *= 2
    (root / "project.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"task 3 has 2 annotations; keep the one that holds"):
        opened(root)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ann/a.png.json", '{"objects": [{"geometryType": "polygon"}]}', r"a\.png\.json holds objects of Supervisely"),
        (
            "Annotations/a.xml",
            "<annotation><object><bndbox></bndbox></object></annotation>",
            r"boxes in Pascal VOC's XML",
        ),
    ],
    ids=["Supervisely", "VOC boxes"],
)
def test_files_of_other_tools_are_refused_by_name(name: str, content: str, message: str, root: Path) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(content)
    with pytest.raises(DataError, match=message + r".*export them as COCO"):
        opened(root)
