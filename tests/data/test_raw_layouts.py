"""Published sets as their authors give them out, and the layouts of other tools: what is paired, what is asked, what is refused."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.data.layouts.discover import discover, recognize
from raw_sets import DRIVE, PAIRED, PER_CLASS, Names, spread


@pytest.fixture
def made(tmp_path: Path) -> Callable[[Names], Path]:
    """made(names): a folder with files of these names: JSON that says nothing, and empty ones."""

    def make(names: Names) -> Path:
        root = tmp_path / "set"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}" if path.suffix == ".json" else "")
        return root

    return make


Made = Callable[[Names], Path]


@pytest.mark.parametrize("name", PAIRED)
def test_a_published_set_is_paired_as_its_authors_meant(name: str, made: Made) -> None:
    names, number, example, splits = PAIRED[name]
    manifest = discover(made(names))
    assert len(manifest.cases) == number
    assert example in [(case.images[0], case.masks) for case in manifest.cases]
    assert {case.split for case in manifest.cases} == splits
    assert len({case.id for case in manifest.cases}) == number


def test_the_cases_of_a_folder_each_are_called_by_it(made: Made) -> None:
    assert [case.id for case in discover(made(PAIRED["one folder per case"][0])).cases] == ["case0", "case1", "case2"]
    assert [case.id for case in discover(made(PAIRED["nnU-Net as PNG"][0])).cases][:1] == ["h_000"]


REFUSED: dict[str, tuple[Names, str]] = {
    "DRIVE": (DRIVE, r"1st_manual and mask both hold masks of the same names in .*; .* such as --masks 1st_manual$"),
    "HRF": (
        spread("{images,manual1}/0{0,1,2}_dr.tif", "mask/0{0,1,2}_dr_mask.tif"),
        r"manual1 and mask both hold masks .* --masks manual1$",
    ),
    "STARE": (
        spread("stare-images/im{0,1,2}.png", "labels-ah/im{0,1,2}.ah.png", "labels-vk/im{0,1,2}.vk.png"),
        r"labels-ah and labels-vk both hold masks .* --masks labels-ah$",
    ),
    "masks and labels": (
        spread("{images,masks,labels}/{0,1,2}.png"),
        r"labels and masks both hold masks .* --masks labels$",
    ),
    "two formats": (
        spread("{PNG,TIF}/{Original,Ground Truth}/{0,1,2}.png"),
        r"PNG and .*TIF hold the same images in two formats; give one of these folders$",
    ),
    "two structures": (
        spread("Lung/{Train,Val}/{images,infection masks,lung masks}/{a,b}.png"),
        r"infection masks and lung masks both hold masks .* --masks 'infection masks'$",
    ),
    "numbers are no words": (
        spread("images/{x,y}_0.png", "masks/{x,y}_1.png"),
        r"share a name: images are called x_0, y_0",
    ),
    "a folder for each class": (
        PER_CLASS,
        r"masks/cavity, masks/wall hold masks of the same .* cavity=masks/cavity,wall=masks/wall makes .*masks/cavity,masks/wall m",
    ),
    "nnU-Net without one of its channels": (
        [*spread("imagesTr/h{0,1}_000{0,1}.png", "labelsTr/h{0,1}.png"), "imagesTr/h0_0002.png"],
        r"the images in .* are in several files, one for each channel, of which some are not there: h1_0002; add them",
    ),
    "COCO": (
        ["images/1.jpg", "annotations.json"],
        r"a file beside them \(annotations\.json\) that holds no outlines of COCO or labelme, .* export them as COCO",
    ),
    "labelme": (["1.jpg", "1.json"], r"images and a file for each \(1\.json\) that holds no outlines"),
    "YOLO": (
        ["images/train/1.jpg", "labels/train/1.txt"],
        r"labels/train holds text files \(1\.txt\) that are no outlines of YOLO",
    ),
    "masks as .mat": (["images/1.png", "masks/1.mat"], r"masks holds no images, only 1\.mat; PNG, JPEG"),
    "damaged DICOM files": (
        spread("patient1/patient1_2CH_ED{,_gt}.dcm"),
        r"holds no image in DICOM: 2 DICOM files without an image, or damaged, left out",
    ),
    "an archive": (["set.zip"], r"holds an archive \(set\.zip\): give it in place of the folder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_open_or_cannot_be_read_is_said_in_one_line(name: str, made: Made) -> None:
    names, words = REFUSED[name]
    with pytest.raises(DataError, match=words) as caught:
        discover(made(names))
    assert "\n" not in str(caught.value)


ADVISED = {name: names for name, (names, words) in REFUSED.items() if "--masks" in words} | {
    "two endings": spread("{a,b}{,_GT,_seg}.png"),
    "two endings, by patient": spread("P{1,2}/{a,b}{,_gt,_Label}.png"),
    "odd names": spread("images/{0,1}.png", "{my gt,seg (2)}/{0,1}.png"),
}


@pytest.mark.parametrize("name", ADVISED)
def test_the_advised_masks_are_taken(name: str, made: Made) -> None:
    root = made(ADVISED[name])
    with pytest.raises(DataError, match=r"--masks ") as caught:
        discover(root)
    advised = re.findall(r"--masks (\S+|'[^']+')(?=$|;| merges| or )", str(caught.value))
    assert advised
    for masks in advised:
        assert discover(root, masks=shlex.split(masks)[0]).cases


def test_the_line_s_own_advice_reads_the_retinal_set(made: Made) -> None:
    root = made(DRIVE)
    manifest = discover(root, masks="1st_manual")
    assert [(case.id, case.split) for case in manifest.cases][:3] == [
        ("01_test", "test"),
        ("02_test", "test"),
        ("21_training", "train"),
    ]
    assert manifest.cases[0].masks == ("test/1st_manual/01_manual1.gif",)
    assert manifest.cases[0].raters == (("test/2nd_manual/01_manual2.gif",),)
    assert manifest.cases[2].raters == ()
    assert any("mask" in note for note in manifest.notes)
    assert len(discover(root, masks="mask").cases) == 5
    assert len(discover(root, images="images", masks="1st_manual").cases) == 5


@pytest.mark.parametrize(
    "masks",
    ["masks/wall", "wall", "masks/wall,masks/cavity", "masks/*", "wall,cavity", "masks/wall/*.png", "wall/*.png"],
)
def test_folders_and_patterns_name_masks(masks: str, made: Made) -> None:
    manifest = discover(made(PER_CLASS), masks=masks)
    assert len(manifest.cases) == 3
    assert len(manifest.cases[0].masks) == (1 if masks.count("cavity") == 0 and masks != "masks/*" else 2)


def test_folders_outside_of_the_data_set(made: Made) -> None:
    root = made(["a/1.png", "a/2.png", "elsewhere/b/1.png", "elsewhere/b/2.png"])
    for masks in (str(root / "elsewhere" / "b"), "../elsewhere/b"):
        manifest = discover(root / "a", images=".", masks=masks)
        assert next((case.images, case.masks) for case in manifest.cases) == (("a/1.png",), ("elsewhere/b/1.png",))
        assert manifest.root == str(root)


def test_names_that_nothing_has(made: Made) -> None:
    root = made(["images/1.png", "masks/1.png", "void/notes.txt"])
    for options, words in (
        ({"masks": "mask"}, r"--masks: there is no folder 'mask' in .*; did you mean 'masks'\?"),
        ({"masks": "void"}, r"--masks: void has no images"),
        ({"images": "*.tif"}, r"the pattern '\*\.tif' matches nothing"),
        ({"images": "images", "masks": "images"}, r"is named as image and as mask"),
        ({"images": "masks", "masks": "images"}, ""),
    ):
        if not words:
            assert discover(root, **options).cases[0].images == ("masks/1.png",)
            continue
        with pytest.raises(DataError, match=words):
            discover(root, **options)


def test_what_is_not_used_is_named_in_every_layout(made: Made) -> None:
    for number, (names, _, _, _) in enumerate(PAIRED.values()):
        extra = [name.replace(name.split("/")[0], "sketches", 1) for name in ["sketches/odd.png"]]
        root = made([f"{number}/{name}" for name in [*names, *extra, "notes/readme.txt"]]) / str(number)
        texts = [finding.text for finding in recognize(root).findings if "not used" in finding.text]
        assert any("notes" in text and "sketches" in text for text in texts), (names[0], texts)


def test_instance_maps_and_second_observers_are_told_as_such(made: Made) -> None:
    root = made(
        [f"{folder}/{n}.png" for n in range(3) for folder in ("images", "masks", "instances", "gt", "observer2")]
    )
    match = recognize(root)
    assert match.cases[0].masks == ("masks/0.png",)
    assert match.cases[0].raters == (("observer2/0.png",),)
    texts = " | ".join(finding.text for finding in match.findings)
    assert "instances (instance maps)" in texts
    assert "gt (masks of the same images)" in texts
    assert "observer2: a second observer's masks of 3 images" in texts


def test_pictures_beside_their_masks_of_the_same_stem(made: Made) -> None:
    """One without a partner is told, and the others are still pairs."""
    found = recognize(made(spread("{0,1,2,3}.jpg", "{0,1,3}.png")))
    assert [case.id for case in found.cases] == ["0", "1", "3"]
    assert [finding.text.split(" in ")[0] for finding in found.findings] == ["1 of 4 images"]


def test_upper_and_lower_case_are_one_name_where_no_two_are_confused(made: Made) -> None:
    cases = discover(made(spread("images/IMG{0,1,2}.jpg", "masks/img{0,1,2}_mask.png"))).cases
    assert [(case.id, case.masks) for case in cases][:1] == [("IMG0", ("masks/img0_mask.png",))]


def test_upper_and_lower_case_tell_cases_apart(made: Made) -> None:
    assert [case.masks[0] for case in discover(made(spread("{images,masks}/{a,A,b}.png"))).cases] == [
        "masks/A.png",
        "masks/a.png",
        "masks/b.png",
    ]


def test_one_mask_beside_several_images_is_asked_about(made: Made) -> None:
    root = made(spread("P{1,2,3}/{t1,t2,seg}.png"))
    with pytest.raises(
        DataError, match=r"one mask \(seg.png\) lies beside 2 images .*--images t1.png --masks seg.png$"
    ):
        discover(root)
    cases = discover(root, "t1.png", "seg.png").cases
    assert [(case.images, case.masks) for case in cases][:1] == [(("P1/t1.png",), ("P1/seg.png",))]
    assert len(cases) == 3
