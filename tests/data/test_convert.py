"""`data convert`: written, read again, and the same: masks bit for bit, pixels, names of classes, splits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import delineate
from delineate.common.errors import DataError
from delineate.data.cases.census import inspect
from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.cases.volumes import volume_mask
from delineate.data.convert import coco
from delineate.data.convert.shapes import Region, annotation_of, objects_of, polygons_of
from delineate.data.core.manifest import Case, Manifest
from delineate.data.formats.annotations import run_lengths
from delineate.data.formats.annotations.outlines import Mark, Outline, painted
from delineate.data.layouts.source import as_source
from delineate.data.splits.folds import split_data

CLASSES = ("background", "wall", "cavity")


def classes(number: int, *, ignored: bool = False) -> NDArray[np.uint8]:
    """Rings with their insides, regions that touch at a corner, single pixels; some masks are empty."""
    mask = np.zeros((40, 52), np.uint8)
    if number % 5 == 4:
        return mask
    cv2.circle(mask, (14 + number, 16), 9, 1, -1)
    cv2.circle(mask, (14 + number, 16), 5, 2, -1)
    cv2.circle(mask, (40, 30), 6, 1, 2)
    mask[2, 2], mask[3, 3], mask[0, 51] = 2, 2, 1
    if ignored:
        mask[36:, :7] = 255
    return mask


def pictures(root: Path, *, ignored: bool = False, names: bool = True) -> Path:
    """Ten JPEGs and PNGs, color and gray, with lists of splits and a table of classes."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 52, 3), np.uint8)
        if number % 3:
            cv2.imwrite(str(root / "images" / f"p{number}.jpg"), pixels)
        else:
            cv2.imwrite(str(root / "images" / f"p{number}.png"), pixels[..., 0] if number % 2 else pixels)
        cv2.imwrite(str(root / "masks" / f"p{number}.png"), classes(number, ignored=ignored))
    for split, numbers in (("train", range(6)), ("val", (6, 7)), ("test", (8, 9))):
        (root / f"{split}.txt").write_text("".join(f"p{number}\n" for number in numbers))
    if names:
        (root / "labels.yaml").write_text("labels: {background: 0, wall: 1, cavity: 2, ignore: 255}\n")
    return root


def arrays(root: Path) -> Path:
    root.mkdir()
    made: dict[str, Any] = {}
    for split, number in (("train", 5), ("val", 2), ("test", 2)):
        made[f"{split}_images"] = np.random.default_rng(number).integers(0, 256, (number, 40, 52), np.uint8)
        made[f"{split}_label"] = np.stack([classes(at) for at in range(number)])
    np.savez(root / "hearts.npz", **made)
    return root / "hearts.npz"


def turned(root: Path) -> Path:
    """Pictures that their EXIF orientation turns by a quarter, with masks as they are seen."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(4):
        exif = Image.Exif()
        exif[274] = 6
        pixels = np.random.default_rng(number).integers(0, 256, (52, 40, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"p{number}.jpg", exif=exif, quality=95)
        cv2.imwrite(str(root / "masks" / f"p{number}.png"), classes(number))
    return root


def channels(root: Path) -> Path:
    root.mkdir()
    lines = ["image_t1,image_flair,mask,split"]
    for number in range(4):
        for what in ("t1", "flair"):
            picture = np.random.default_rng(number).integers(0, 256, (40, 52), np.uint8)
            cv2.imwrite(str(root / f"p{number}_{what}.png"), picture)
        cv2.imwrite(str(root / f"p{number}_seg.png"), classes(number))
        lines.append(f"p{number}_t1.png,p{number}_flair.png,p{number}_seg.png,{'val' if number == 3 else 'train'}")
    (root / "heads.csv").write_text("\n".join(lines))
    return root / "heads.csv"


def volumes(root: Path) -> Path:
    nib = pytest.importorskip("nibabel")
    affine = np.array([[0, -2.0, 0, 9], [1, 0, 0, 3], [0, 0, 3, 0], [0, 0, 0, 1]])
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(3):
        scan = np.random.default_rng(number).integers(-900, 900, (40, 52, 3)).astype(np.int16)
        nib.save(nib.Nifti1Image(scan, affine), root / "images" / f"v{number}.nii{'.gz' * (number % 2)}")
        labels = np.stack([classes(number)] * 3, -1)
        nib.save(nib.Nifti1Image(labels, affine), root / "masks" / f"v{number}.nii.gz")
    return root


def read(data: Path) -> tuple[Manifest, dict[str, Case]]:
    manifest = inspect(as_source(data).manifest())[0]
    return manifest, {case.id: case for case in manifest.cases}


MAKERS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "pictures": (pictures, ("folders", "nnunet", "coco")),
    "pictures with ignored pixels": (lambda root: pictures(root, ignored=True), ("folders", "nnunet")),
    "arrays": (arrays, ("folders", "nnunet", "coco")),
    "turned": (turned, ("folders", "nnunet", "coco")),
    "channels": (channels, ("folders", "nnunet")),
}


@pytest.mark.parametrize(("maker", "to"), [(maker, to) for maker, (_, forms) in MAKERS.items() for to in forms])
def test_what_is_written_is_read_as_the_same(maker: str, to: Any, tmp_path: Path) -> None:
    data = MAKERS[maker][0](tmp_path / "set")
    made = delineate.convert_data(data, to=to, out=tmp_path / "out")
    (before, known), (after, found) = read(data), read(tmp_path / "out")
    assert made.cases == len(known)
    assert found.keys() == known.keys()
    assert after.classes.names == before.classes.names
    assert after.channels == before.channels
    for name, case in known.items():
        assert np.array_equal(case_mask(after, found[name]), case_mask(before, case)), name
        assert found[name].split == case.split
        image, wanted = case_image(after, found[name]), case_image(before, case)
        if to == "nnunet" and image.ndim > wanted.ndim:  # gray among colors is made RGB
            wanted = np.repeat(wanted[..., None], 3, axis=2)
        assert np.array_equal(image, wanted), name


@pytest.mark.parametrize("to", ["folders", "nnunet"])
def test_volumes_keep_their_grid(to: Any, tmp_path: Path) -> None:
    nib = pytest.importorskip("nibabel")
    data = volumes(tmp_path / "set")
    delineate.convert_data(data, to=to, out=tmp_path / "out")
    (before, known), (after, found) = read(data), read(tmp_path / "out")
    assert found.keys() == known.keys()
    for name, case in known.items():
        assert np.array_equal(volume_mask(after, found[name]), volume_mask(before, case))
        for new, old in ((found[name].images[0], case.images[0]), (found[name].masks[0], case.masks[0])):
            one, other = nib.load(tmp_path / "out" / new), nib.load(data / old)
            assert np.array_equal(one.affine, other.affine)
            assert np.array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
    ends = {path.name.partition(".")[2] for path in (tmp_path / "out").rglob("*.nii*")}
    assert ends == ({"nii", "nii.gz"} if to == "folders" else {"nii.gz"})


def test_images_are_copied_byte_for_byte_where_that_is_possible(tmp_path: Path) -> None:
    data = pictures(tmp_path / "set")
    for to in ("folders", "coco"):
        delineate.convert_data(data, to=to, out=tmp_path / to)  # type: ignore[arg-type]
        originals = {path.name: path.read_bytes() for path in (data / "images").iterdir()}
        copies = [path for path in (tmp_path / to).rglob("p*.*") if path.parent.name != "masks"]
        assert len(copies) == 10
        assert all(path.read_bytes() == originals[path.name] for path in copies)


def test_nnunet_is_told_labels_channels_and_divisions(tmp_path: Path) -> None:
    out = tmp_path / "Dataset501_Hearts"
    made = delineate.convert_data(pictures(tmp_path / "set", ignored=True), to="nnunet", out=out)
    description = json.loads((out / "dataset.json").read_text())
    assert description == {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "wall": 1, "cavity": 2, "ignore": 3},
        "numTraining": 8,
        "file_ending": ".png",
    }
    (division,) = json.loads((out / "splits_final.json").read_text())
    assert (division["train"], division["val"]) == ([f"p{at}" for at in range(6)], ["p6", "p7"])
    labels = cv2.imread(str(out / "labelsTr" / "p0.png"), cv2.IMREAD_UNCHANGED)
    assert labels.max() == 3, "labels are consecutive, the ignored one the highest"
    assert {path.name for path in (out / "imagesTs").iterdir()} == {"p8_0000.png", "p9_0000.png"}
    assert not any("nnUNet_raw" in note for note in made.notes)


def test_regions_go_with_the_classes(tmp_path: Path) -> None:
    data = pictures(tmp_path / "set", ignored=True)
    with (data / "labels.yaml").open("a") as file:
        file.write("regions: {heart: [wall, cavity], cavity: [cavity]}\n")
    table = as_source(data).manifest().classes
    for to in ("folders", "nnunet"):
        delineate.convert_data(data, to=to, out=tmp_path / to)  # type: ignore[arg-type]
    assert as_source(tmp_path / "folders").manifest().classes.regions == table.regions
    description = json.loads((tmp_path / "nnunet" / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "heart": [1, 2], "cavity": [2], "ignore": 3}
    assert description["regions_class_order"] == [1, 2]
    assert as_source(tmp_path / "nnunet").manifest().classes.regions == table.regions


def test_a_region_that_others_fill_is_painted_as_what_is_around_it(tmp_path: Path) -> None:
    data = pictures(tmp_path / "set")
    with (data / "labels.yaml").open("a") as file:
        file.write("regions: {heart: [wall, cavity], wall: [wall], cavity: [cavity]}\n")
    delineate.convert_data(data, to="nnunet", out=tmp_path / "nnunet")
    description = json.loads((tmp_path / "nnunet" / "dataset.json").read_text())
    assert description["regions_class_order"] == [0, 1, 2]
    found = as_source(tmp_path / "nnunet").manifest().classes
    assert [region.paints for region in found.regions] == [None, 1, 2]


def test_a_division_of_nnunet_that_does_not_fit_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    delineate.convert_data(pictures(tmp_path / "set"), to="nnunet", out=out)
    (division,) = json.loads((out / "splits_final.json").read_text())
    (out / "splits_final.json").write_text(json.dumps([division | {"train": ["p0", "p1"]}]))
    manifest = as_source(out).manifest()
    assert [case.id for case in manifest.split("train")] == ["p0", "p1"]
    assert any("4 cases are not in splits_final.json and not used" in note for note in manifest.notes)
    (out / "splits_final.json").write_text(json.dumps([division, division]))
    assert any("holds 2 divisions of folds and is not used" in note for note in as_source(out).manifest().notes)
    (out / "splits_final.json").write_text(json.dumps([division | {"val": ["stranger"]}]))
    with pytest.raises(DataError, match=r"splits_final\.json names 1 case that is not here: stranger"):
        as_source(out).manifest()


def test_folds_become_nnunets_divisions(tmp_path: Path) -> None:
    split_data(pictures(tmp_path / "set"), folds=3, test_fraction=None).manifest.save(tmp_path / "folds.json")
    delineate.convert_data(tmp_path / "folds.json", to="nnunet", out=tmp_path / "out")
    divisions = json.loads((tmp_path / "out" / "splits_final.json").read_text())
    assert len(divisions) == 3
    assert sorted(name for one in divisions for name in one["val"]) == [f"p{at}" for at in range(8)]


def test_instances_are_of_coco_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--instances is for --to coco, and says nothing to --to folders"):
        delineate.convert_data(pictures(tmp_path / "set"), to="folders", instances="class", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("instances", ["object", "class"])
def test_coco_has_objects_or_classes_and_run_lengths_for_holes(instances: Any, tmp_path: Path) -> None:
    made = delineate.convert_data(pictures(tmp_path / "set"), to="coco", instances=instances, out=tmp_path / "out")
    content = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
    assert [one["name"] for one in content["categories"]] == ["wall", "cavity"]
    first = [one for one in content["annotations"] if one["image_id"] == 1]
    assert len(first) == (5 if instances == "object" else 2)
    assert any(isinstance(one["segmentation"], dict) for one in first), "a ring has a hole"
    assert any(isinstance(one["segmentation"], list) for one in first)
    for index in (1, 2):
        area = sum(one["area"] for one in first if one["category_id"] == index)
        assert area == (classes(0) == index).sum()
    assert {one["iscrowd"] for one in content["annotations"]} == {0}
    assert len({one["id"] for one in content["annotations"]}) == len(content["annotations"])
    assert coco._RULES[instances] in made.notes


@given(st.integers(1, 14), st.integers(1, 17), st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.8, 0.95]))
@settings(max_examples=200, deadline=None)
def test_every_mask_is_said_exactly(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    again = np.zeros(mask.shape, np.bool_)
    for region in objects_of(mask):
        said = annotation_of(region, mask.shape)
        shape = said["segmentation"]
        if isinstance(shape, dict):
            drawn = run_lengths.decode(shape["counts"], (height, width))
        else:
            parts = tuple(Outline(np.array(part, np.float64).reshape(-1, 2)) for part in shape)
            drawn = painted([Mark(1, parts)], (height, width)) > 0
        left, top, wide, high = said["bbox"]
        assert drawn.sum() == said["area"] == drawn[top : top + high, left : left + wide].sum()
        assert not (again & drawn).any()
        again |= drawn
    assert np.array_equal(again, mask)


def test_a_polygon_runs_along_the_edges_of_pixels() -> None:
    assert polygons_of(Region(np.ones((2, 3), np.bool_), 5, 7)) is not None
    points = np.array(polygons_of(Region(np.ones((2, 3), np.bool_), 5, 7))).reshape(-1, 2)
    assert sorted(map(tuple, points.tolist())) == [(7, 5), (7, 7), (10, 5), (10, 7)]


@pytest.mark.parametrize(
    ("maker", "to", "words"),
    [
        (volumes, "coco", "COCO has pictures alone"),
        (channels, "coco", r"these are 2 \(t1, flair\)"),
        (
            lambda root: pictures(root, ignored=True),
            "coco",
            "no pixels that are ignored, and 8 cases have some",
        ),
    ],
)
def test_what_a_form_cannot_express_is_refused(maker: Any, to: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        delineate.convert_data(maker(tmp_path / "set"), to=to, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_floats_are_kept_in_folders_and_refused_for_nnunet(tmp_path: Path) -> None:
    data = pictures(tmp_path / "set")
    for path in list((data / "images").iterdir()):
        cv2.imwrite(str(path.with_suffix(".tif")), cv2.imread(str(path), 0) / np.float32(255))
        path.unlink()
    delineate.convert_data(data, to="folders", out=tmp_path / "out")
    assert np.array_equal(
        *[case_image(*one) for one in ((m, cases["p1"]) for m, cases in (read(data), read(tmp_path / "out")))]
    )
    with pytest.raises(DataError, match="PNG cannot hold pictures of floats"):
        delineate.convert_data(data, to="nnunet", out=tmp_path / "nn")


def test_images_without_masks_stay_in_folders_and_are_told_elsewhere(tmp_path: Path) -> None:
    data = pictures(tmp_path / "set")
    (data / "unlabeled").mkdir()
    cv2.imwrite(str(data / "unlabeled" / "u.png"), np.full((9, 9), 7, np.uint8))
    delineate.convert_data(data, to="folders", out=tmp_path / "folders")
    assert [case.id for case in read(tmp_path / "folders")[0].cases if not case.masks] == ["u"]
    for to in ("nnunet", "coco"):
        made = delineate.convert_data(data, to=to, out=tmp_path / to)  # type: ignore[arg-type]
        assert any("1 image without mask left out" in note for note in made.notes)


def test_groups_are_kept_in_a_table(tmp_path: Path) -> None:
    for patient in ("P1", "P2", "P3"):
        pictures(tmp_path / "set" / patient)
    made = delineate.convert_data(tmp_path / "set", to="folders", out=tmp_path / "out")
    source = delineate.DataSource(tmp_path / "out", group_by=str(tmp_path / "out" / "cases.csv"))
    assert any("--group-by" in note for note in made.notes)
    assert len({case.group for case in source.manifest().cases}) == 3


def test_the_place_is_new_and_outside_and_nothing_is_left_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pictures(tmp_path / "set")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    for out, words in ((tmp_path / "full", "not empty"), (data / "images" / "new", "lies inside"), (data, "not empty")):
        with pytest.raises(DataError, match=words):
            delineate.convert_data(data, to="folders", out=out)
    with pytest.raises(DataError, match="unknown to 'foldrs': did you mean 'folders'"):
        delineate.convert_data(data, to="foldrs", out=tmp_path / "new")  # type: ignore[arg-type]

    def fail(*_: Any) -> None:
        raise DataError("stopped")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("delineate.data.convert.folders.Folders.finish", fail)
    with pytest.raises(DataError, match="stopped"):
        delineate.convert_data(data, to="folders", out=tmp_path / "new")
    assert sorted(tmp_path.iterdir()) == before


def test_faults_of_the_data_are_told_first_and_progress_is_whole(tmp_path: Path) -> None:
    data = pictures(tmp_path / "set")
    told: list[tuple[int, int]] = []
    delineate.convert_data(data, to="folders", out=tmp_path / "out", progress=lambda *step: told.append(step))
    assert told[0] == (1, 20)
    assert told[-1] == (20, 20)
    (data / "masks" / "p1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"p1\.png"):
        delineate.convert_data(data, to="folders", out=tmp_path / "again")
