"""COCO's JSON as a data set: what is drawn, which split it is, what is told, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotated_sets import CORNER, HEIGHT, SQUARE, WIDTH, coco_object, mask_of, opened, write_coco, write_images
from delineate.common.errors import DataError
from delineate.data.formats.annotations import coco
from delineate.data.formats.annotations.run_lengths import encode, packed

NAMES = [f"{letter}.png" for letter in "abcdef"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with six images."""
    write_images(tmp_path / "set" / "images", NAMES)
    return tmp_path / "set"


def test_polygons_run_lengths_and_crowds_become_masks_with_the_names_of_the_categories(root: Path) -> None:
    square = np.zeros((HEIGHT, WIDTH), bool)
    square[5:15, 4:14] = True
    runs = encode(square)
    objects = [
        coco_object(0),
        coco_object(1, 7, {"size": [HEIGHT, WIDTH], "counts": runs}),
        coco_object(2, 7, {"size": [HEIGHT, WIDTH], "counts": packed(runs)}),
        coco_object(3, 1, [CORNER]),  # over the crowd, though it comes first
        coco_object(3, 7, {"size": [HEIGHT, WIDTH], "counts": runs}, iscrowd=1),
        coco_object(4, 1, [SQUARE, CORNER]),
        coco_object(5, 1, SQUARE),  # not nested, as some write it
    ]
    write_coco(root / "annotations.json", NAMES, objects, {1: "polyp", 7: "wall"})
    manifest = opened(root)
    assert manifest.layout == "COCO outlines"
    assert manifest.classes.names == ("background", "polyp", "wall")
    assert manifest.labels.values == {0: 0, 1: 1, 7: 2}
    for name, index in (("a", 1), ("b", 2), ("c", 2), ("f", 1)):
        assert (mask_of(manifest, name) == index * square).all()
    assert np.bincount(mask_of(manifest, "d").ravel(), minlength=3).tolist()[1:] == [100, 80]
    assert (mask_of(manifest, "e") == 1).sum() == 180
    told = " | ".join(manifest.notes)
    assert (
        "annotations.json: 7 outlines drawn as masks (a pixel belongs to an outline when its center lies inside)"
        in told
    )
    assert "1 crowd drawn as objects of their class, below the others" in told
    assert "objects of different classes overlap in 1 image (d): the later in the file is on top" in told


def test_the_digest_of_a_mask_changes_with_its_own_annotations_alone(root: Path) -> None:
    path = write_coco(root / "annotations.json", NAMES)
    before = {case.id: case.hashes for case in opened(root).cases}
    content = json.loads(path.read_text())
    content["annotations"][2]["segmentation"][0][0] += 0.5
    path.write_text(json.dumps(content))
    after = {case.id: case.hashes for case in opened(root).cases}
    assert [name for name in before if before[name] != after[name]] == ["c"]


def test_a_saved_manifest_opens_again_and_refuses_changed_outlines(root: Path, tmp_path: Path) -> None:
    path = write_coco(root / "annotations.json", NAMES)
    manifest = opened(root)
    manifest.save(tmp_path / "manifest.json")
    assert opened(tmp_path / "manifest.json").cases == manifest.cases
    path.write_text(path.read_text().replace("14.0", "13.0", 1))
    with pytest.raises(DataError, match=r"annotations\.json#coco:0 is not the file that the manifest was made from"):
        opened(tmp_path / "manifest.json")


@pytest.mark.parametrize(
    ("files", "images"),
    [
        (("annotations/instances_train2017.json", "annotations/instances_val2017.json"), ("train2017", "val2017")),
        (("train/_annotations.coco.json", "valid/_annotations.coco.json"), ("train", "valid")),
        (("train.json", "val.json"), ("images", "images")),
        (
            ("annotations/instances_Train.json", "annotations/instances_Validation.json"),
            ("images/Train", "images/Validation"),
        ),
    ],
    ids=["COCO", "Roboflow", "two lists", "CVAT"],
)
def test_a_file_for_each_split(tmp_path: Path, files: tuple[str, str], images: tuple[str, str]) -> None:
    for file, folder, names in zip(files, images, (NAMES[:4], NAMES[4:]), strict=True):
        write_images(
            tmp_path / folder, [name.upper().replace("PNG", "png") if folder != "images" else name for name in names]
        )
        shown = [path.name for path in sorted((tmp_path / folder).iterdir())]
        shown = [name for name in shown if name.endswith(".png") and name.lower() in names]
        write_coco(tmp_path / file, shown)
    manifest = opened(tmp_path)
    assert (len(manifest.split("train")), len(manifest.split("val")), manifest.split_origin) == (4, 2, "files")


def test_one_file_whose_images_lie_in_folders_of_splits(tmp_path: Path) -> None:
    names = ["images/train/a.png", "images/train/b.png", "images/test/a.png"]
    write_images(tmp_path, names)
    write_coco(tmp_path / "all.json", [name.removeprefix("images/") for name in names])
    manifest = opened(tmp_path)
    assert {case.id: case.split for case in manifest.cases if case.split == "test"} == {"images_test_a": "test"}
    assert manifest.split_origin.startswith("folders")


@pytest.mark.parametrize(
    "written",
    ["{}", "images/{}", "./images/{}", "..\\upload\\1\\{}", "/home/somebody/set/images/{}", "https://x.org/data/{}"],
)
def test_images_are_found_by_the_end_of_the_path_that_is_written(root: Path, written: str) -> None:
    write_coco(root / "result.json", [written.format(name) for name in NAMES])
    assert len(opened(root).cases) == 6


def test_outlines_that_leave_the_picture_are_cut_off_and_told(root: Path) -> None:
    far = [[WIDTH + 5, 1, WIDTH + 9, 1, WIDTH + 9, 9]]
    objects = [
        coco_object(0, segmentation=[[-9, -9, 10, -9, 10, 10, -9, 10]]),
        coco_object(1),
        coco_object(1, segmentation=far),
    ]
    write_coco(root / "annotations.json", NAMES, [*objects, *(coco_object(at) for at in range(2, 6))])
    manifest = opened(root)
    assert mask_of(manifest, "a").sum() == 100
    told = " | ".join(manifest.notes)
    assert "1 outline lies outside of the picture: b; look whether they were drawn on pictures of another size" in told
    assert "1 outline leaves the picture, cut off at its border: a" in told


def test_parts_inside_of_others_are_united_as_coco_means_it_and_told(root: Path) -> None:
    hole = [6.0, 7.0, 9.0, 7.0, 9.0, 9.0]
    beside = [20.0, 7.0, 23.0, 7.0, 23.0, 9.0]
    objects = [coco_object(0, segmentation=[SQUARE, hole]), coco_object(1, segmentation=[SQUARE, beside])]
    write_coco(root / "annotations.json", NAMES, [*objects, *(coco_object(at) for at in range(2, 6))])
    manifest = opened(root)
    assert mask_of(manifest, "a").sum() == 100
    assert any(
        "1 object has a part inside of another one, united with it: a; where holes" in note for note in manifest.notes
    )


def test_numbers_may_be_written_as_text(root: Path) -> None:
    path = write_coco(root / "annotations.json", NAMES)
    text = path.read_text().replace('"category_id": 1', '"category_id": "1"')
    path.write_text(text.replace('"id": 1, "name"', '"id": "1", "name"'))
    assert opened(root).labels.values == {0: 0, 1: 1}


def test_a_category_0_is_not_taken_for_the_background_and_an_idle_supercategory_is_no_class(root: Path) -> None:
    categories = [
        {"id": 0, "name": "cell", "supercategory": "none"},
        {"id": 1, "name": "wall", "supercategory": "none"},
    ]
    objects = [coco_object(at, at % 2) for at in range(6)]
    write_coco(root / "annotations.json", NAMES, objects, categories=None)
    path = root / "annotations.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "categories": categories}))
    manifest = opened(root)
    assert (manifest.classes.names, manifest.labels.values) == (("background", "cell", "wall"), {0: 0, 1: 1, 2: 2})
    assert (mask_of(manifest, "a").max(), mask_of(manifest, "b").max()) == (1, 2)

    roboflow = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": "wall", "supercategory": "cells"},
    ]
    objects = [coco_object(at, 1) for at in range(6)]
    write_coco(path, NAMES, objects)
    path.write_text(json.dumps({**json.loads(path.read_text()), "categories": roboflow}))
    manifest = opened(root)
    assert (manifest.classes.names, manifest.labels.values) == (("background", "wall"), {0: 0, 1: 1})
    assert any("cells: a supercategory that nothing is of, and no class" in note for note in manifest.notes)


def test_ids_of_images_may_be_names(root: Path) -> None:
    path = write_coco(root / "annotations.json", NAMES, [coco_object(name, 0) for name in NAMES], {0: "polyp"})
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "images": [{**one, "id": one["file_name"]} for one in content["images"]]}))
    manifest = opened(root)
    assert manifest.cases[0].masks == ("annotations.json#coco:a.png,1",)
    assert mask_of(manifest, "a").sum() == 100


def test_categories_of_one_name_are_one_class(root: Path) -> None:
    objects = [coco_object(at, 3 + at % 2 * 6) for at in range(6)]
    write_coco(root / "annotations.json", NAMES, objects, {3: "cell", 9: "cell", 90: "wall"})
    manifest = opened(root)
    assert manifest.labels.values == {0: 0, 3: 1, 9: 1, 90: 2}
    assert any("1 name of several categories, read as one class each: cell" in note for note in manifest.notes)


def test_images_without_objects_are_background_unless_they_are_said_to_be_unlabeled(root: Path) -> None:
    write_coco(root / "annotations.json", NAMES, [coco_object(at) for at in range(4)])
    manifest = opened(root)
    assert not mask_of(manifest, "f").any()
    assert any(
        "nothing is marked on 2 of 6 images" in note and "read as all background: e, f; --unmarked unlabeled" in note
        for note in manifest.notes
    )
    manifest = opened(root, unmarked="unlabeled")
    assert [case.id for case in manifest.cases if not case.masks] == ["e", "f"]
    assert any("read as unlabeled: e, f; --unmarked background" in note for note in manifest.notes)


def test_where_most_images_have_nothing_marked_the_user_is_asked(root: Path) -> None:
    write_coco(root / "annotations.json", NAMES, [coco_object(0)])
    with pytest.raises(
        DataError, match=r"5 of 6 images in .* background, or not labeled yet\?; say which: --unmarked background"
    ):
        opened(root)
    assert sum(case.id != "a" for case in opened(root, unmarked="background").cases if case.masks) == 5


def test_files_that_hold_no_outlines_or_repeat_them_are_left_out_and_named(root: Path) -> None:
    write_coco(root / "annotations" / "instances_all.json", NAMES)
    write_coco(root / "annotations" / "person_keypoints_all.json", NAMES, [coco_object(0, segmentation=[CORNER])])
    captions = [{"image_id": at, "caption": "a polyp"} for at in range(6)]
    write_coco(root / "annotations" / "captions_all.json", NAMES, captions)
    (root / "annotations" / "info.json").write_text('{"images": "many", "annotations": 3}')
    manifest = opened(root)
    told = " | ".join(manifest.notes)
    assert "captions_all.json holds no outlines and is not used" in told
    assert "person_keypoints_all.json not used" in told
    assert {mask for case in manifest.cases for mask in case.masks if "instances_all" not in mask} == set()


def test_a_test_list_without_marks_and_images_in_no_list_are_named_and_not_used(root: Path) -> None:
    write_coco(root / "train.json", NAMES[:4])
    write_coco(root / "test.json", NAMES[4:5], [])
    manifest = opened(root)
    told = " | ".join(manifest.notes)
    assert "test.json marks nothing: its 1 image not used" in told
    assert "1 image in no file of outlines, not used: images/f.png" in told
    assert len(manifest.cases) == 4


def test_images_in_a_folder_unlabeled_are_for_training_without_masks(root: Path) -> None:
    write_images(root / "unlabeled", ["x.png"])
    write_coco(root / "annotations.json", NAMES)
    assert [case.id for case in opened(root).cases if not case.masks] == ["x"]


def test_two_files_may_list_an_image_when_they_say_the_same(root: Path) -> None:
    write_coco(root / "all.json", NAMES)
    write_coco(root / "train.json", NAMES[:4])
    write_coco(root / "val.json", NAMES[4:])
    manifest = opened(root)
    assert (len(manifest.split("train")), len(manifest.split("val"))) == (4, 2)


def test_masks_names_the_file_that_holds(root: Path) -> None:
    write_coco(root / "first.json", NAMES)
    write_coco(root / "second.json", NAMES, [coco_object(at, segmentation=[CORNER]) for at in range(6)])
    with pytest.raises(
        DataError, match=r"6 images are listed in first\.json and in second\.json, .* --masks first\.json"
    ):
        opened(root)
    assert mask_of(opened(root, masks="second.json"), "a")[19, 19] == 1
    assert len(opened(root, masks="sec*.json").cases) == len(opened(root, masks=str(root / "second.json")).cases) == 6
    outside = write_coco(root.parent / "other.json", NAMES)
    with pytest.raises(
        DataError, match=r"other\.json lies outside of .*; give the folder that holds it and the images"
    ):
        opened(root, masks=str(outside))
    (root / "info.json").write_text("{}")
    with pytest.raises(DataError, match=r"info\.json holds no outlines that are read"):
        opened(root, masks="info.json")


def test_outlines_are_of_the_picture_as_its_orientation_shows_it(tmp_path: Path) -> None:
    names = [name.replace("png", "jpg") for name in NAMES]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(
            0, 255, (WIDTH, HEIGHT), np.uint8
        )  # stored as it lies on its side
        exif = Image.Exif()
        exif[0x0112] = 6
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / name, exif=exif)
    path = write_coco(tmp_path / "annotations.json", names)
    assert mask_of(opened(tmp_path), "a")[5:15, 4:14].all()
    path.write_text(
        path.read_text().replace(f'"height": {HEIGHT}, "width": {WIDTH}', f'"height": {WIDTH}, "width": {HEIGHT}')
    )
    with pytest.raises(DataError, match=r"turned by its EXIF orientation, .* or remove the orientation from the image"):
        opened(tmp_path)


def test_a_file_of_outlines_is_no_manifest_but_belongs_to_a_folder(root: Path) -> None:
    path = write_coco(root / "annotations.json", NAMES)
    with pytest.raises(
        DataError, match=r"holds outlines and is no manifest; give the folder .* --masks annotations\.json"
    ):
        opened(path)


def test_tables_of_labels_that_tools_write_change_no_names_that_the_file_itself_has(root: Path) -> None:
    write_coco(root / "annotations.json", NAMES)
    (root / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, wall\n")
    assert opened(root).classes.names == ("background", "polyp")
    (root / "labels.yaml").write_text("labels: {background: 0, adenoma: 1}")
    assert opened(root).classes.names == ("background", "adenoma")
    assert opened(root, labels="1=lesion").classes.names == ("background", "lesion")


def test_a_file_is_parsed_once_however_many_masks_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    monkeypatch.setattr(coco.read_coco, "_parse", lambda path: parsed.append(path) or coco.parse_coco(path))
    write_coco(root / "annotations.json", NAMES)
    manifest = opened(root)
    assert all(mask_of(manifest, case.id).any() for case in manifest.cases)
    assert len(parsed) == 1


def changed(**update: Any) -> Any:
    """A change of the first annotation."""

    def change(content: dict[str, Any]) -> None:
        content["annotations"][0].update(update)

    return change


def of_image(**update: Any) -> Any:
    def change(content: dict[str, Any]) -> None:
        content["images"][0].update(update)

    return change


WRONG: dict[str, tuple[Any, str]] = {
    "box": (changed(segmentation=[]), r"1 of 6 annotations are boxes without outline \(id 0\)"),
    "odd numbers": (changed(segmentation=[[1, 2, 3]]), r"annotation 0 of a\.png has an outline of 3 numbers"),
    "no number": (changed(segmentation=[["x", 2, 3, 4]]), r"annotation 0 .* no list of outlines"),
    "not finite": (changed(segmentation=[[1, 2, 3, float("nan"), 5, 6]]), r"annotation 0 .* no finite number"),
    "short runs": (
        changed(segmentation={"size": [HEIGHT, WIDTH], "counts": [3]}),
        r"annotation 0 .* do not fill 32×24",
    ),
    "size of runs": (changed(segmentation={"size": [9, 9], "counts": [81]}), r"run lengths of the size \[9, 9\]"),
    "text": (changed(segmentation="M 1 2"), r"annotation 0 .* no run lengths"),
    "category": (changed(category_id=5), r"annotation 0 has the category 5, which is not listed"),
    "image": (changed(image_id=77), r"annotation 0 is of the image 77, which is not listed"),
    "no file": (of_image(file_name="gone.png"), r"lists 1 image that is not in .*: gone\.png; add the images"),
    "no name": (of_image(file_name=None), r"an image is .*; each has an id and a file_name"),
    "no size": (of_image(height=None), r"image a\.png has no height and width"),
    "other size": (of_image(height=30), r"#coco:0 is 32×30 pixels but its image .*a\.png is 32×24"),
    "turned": (
        of_image(height=WIDTH, width=HEIGHT),
        r"#coco:0 is 24×32 pixels but its image .* may be turned by its EXIF",
    ),
    "same id": (of_image(id=1), r"two images have the id 1: a\.png and b\.png"),
    "same file": (of_image(file_name="b.png"), r"1 image is listed twice in annotations\.json, such as b\.png"),
    "negative category": (
        lambda content: content["categories"][0].update(id=-1),
        r"a category is .*; each has a name and an id",
    ),
    "numbers as text": (
        lambda content: content["categories"][0].update(id="one"),
        r"a category is .*; each has a name and an id",
    ),
    "no category": (lambda content: content.update(categories=[]), r"has the category 1, which is not listed"),
    "many categories": (
        lambda content: content.update(categories=[{"id": at, "name": f"c{at}"} for at in range(1, 400)]),
        r"400 classes are more than 254",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_file_is_refused_by_name(name: str, root: Path) -> None:
    change, message = WRONG[name]
    path = write_coco(
        root / "annotations.json", NAMES, [coco_object(at, segmentation=[[*SQUARE, at, at]]) for at in range(6)]
    )
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as caught:
        opened(root)
    assert "\n" not in str(caught.value)


def test_broken_json_and_categories_that_contradict_each_other_are_refused(root: Path) -> None:
    path = write_coco(root / "train.json", NAMES[:4])
    whole = path.read_text()
    for end in (-40, 60):  # where the list of annotations is cut off, too, only the images beside it tell what it was
        path.write_text(whole[:end])
        with pytest.raises(DataError, match=r"train\.json is no JSON that can be read"):
            opened(root)
    write_coco(path, NAMES[:4])
    write_coco(root / "val.json", NAMES[4:], categories={1: "wall"})
    with pytest.raises(DataError, match=r"category 1 is 'polyp' in train\.json but 'wall' in val\.json"):
        opened(root)


def test_an_image_that_may_be_two_files_is_asked_about(tmp_path: Path) -> None:
    write_images(tmp_path, ["one/a.png", "two/a.png", "one/b.png"])
    write_coco(tmp_path / "annotations.json", ["a.png", "b.png"])
    with pytest.raises(DataError, match=re.escape("1 image of the list may be several files: one/a.png or two/a.png")):
        opened(tmp_path)
    write_coco(tmp_path / "annotations.json", ["two/a.png", "one/a.png", "b.png"])
    assert len(opened(tmp_path).cases) == 3
