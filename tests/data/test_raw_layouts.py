"""Published sets as their authors give them out, and the layouts of other tools: what is paired, what is asked, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.data.layouts import discover, recognise

Names = list[str]


@pytest.fixture
def made(tmp_path: Path) -> Callable[[Names], Path]:
    """made(names): a folder with empty files of these names."""

    def make(names: Names) -> Path:
        root = tmp_path / "set"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return root

    return make


Made = Callable[[Names], Path]


def spread(*patterns: str) -> Names:
    """File names from patterns: `{images,masks}/{1,2}.png` are four."""
    names = []
    for pattern in patterns:
        match = re.search(r"{([^{}]*)}", pattern)
        if match is None:
            names.append(pattern)
        else:
            before, after = pattern[: match.start()], pattern[match.end() :]
            names += spread(*(before + each + after for each in match[1].split(",")))
    return names


DRIVE = spread(
    "training/images/{21,22,23}_training.tif",
    "training/1st_manual/{21,22,23}_manual1.gif",
    "training/mask/{21,22,23}_training_mask.gif",
    "test/images/{01,02}_test.tif",
    "test/1st_manual/{01,02}_manual1.gif",
    "test/2nd_manual/{01,02}_manual2.gif",
    "test/mask/{01,02}_test_mask.gif",
)
PER_CLASS = spread("images/{0,1,2}.png", "masks/{wall,cavity}/{0,1,2}.png")

PAIRED: dict[str, tuple[Names, int, tuple[str, tuple[str, ...]], set[str | None]]] = {
    "STARE as PNG, one observer": (
        spread("stare-images/im{0,1,2}.png", "labels-ah/im{0,1,2}.ah.png"),
        3,
        ("stare-images/im0.png", ("labels-ah/im0.ah.png",)),
        {None},
    ),
    "HRF without the field of view": (
        spread("images/0{0,1,2}_dr.JPG", "manual1/0{0,1,2}_dr.tif"),
        3,
        ("images/00_dr.JPG", ("manual1/00_dr.tif",)),
        {None},
    ),
    "CHASE_DB1 in one folder": (
        spread("Image_0{1,2}{L,R}.jpg", "Image_0{1,2}{L,R}_{1stHO,2ndHO}.png"),
        4,
        ("Image_01L.jpg", ("Image_01L_1stHO.png",)),
        {None},
    ),
    "REFUGE": (
        spread(
            "Training400/Glaucoma/g000{1,2}.jpg",
            "Training400/Non-Glaucoma/n000{1,2}.jpg",
            "Annotation-Training400/Annotation-Training400/Disc_Cup_Masks/Glaucoma/g000{1,2}.bmp",
            "Annotation-Training400/Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma/n000{1,2}.bmp",
            "REFUGE-Validation400/V000{1,2}.jpg",
            "REFUGE-Validation400-GT/Disc_Cup_Masks/V000{1,2}.bmp",
        ),
        6,
        ("REFUGE-Validation400/V0001.jpg", ("REFUGE-Validation400-GT/Disc_Cup_Masks/V0001.bmp",)),
        {"train", "val"},
    ),
    "REFUGE, one folder per split": (
        spread("{train,val,test}/Images/g{1,2}.jpg", "{train,val,test}/gts/g{1,2}.bmp"),
        6,
        ("train/Images/g1.jpg", ("train/gts/g1.bmp",)),
        {"train", "val", "test"},
    ),
    "BUSI": (
        spread(
            "Dataset_BUSI_with_GT/{benign/benign,normal/normal} ({1,2}){,_mask}.png",
            "Dataset_BUSI_with_GT/benign/benign (1)_mask_1.png",
        ),
        4,
        (
            "Dataset_BUSI_with_GT/benign/benign (1).png",
            ("Dataset_BUSI_with_GT/benign/benign (1)_mask.png", "Dataset_BUSI_with_GT/benign/benign (1)_mask_1.png"),
        ),
        {None},
    ),
    "Kvasir-SEG": (
        spread("Kvasir-SEG/{images,masks}/c{0,1,2}.jpg", "Kvasir-SEG/kavsir_bboxes.json", "Kvasir-SEG/bbox/c0.csv"),
        3,
        ("Kvasir-SEG/images/c0.jpg", ("Kvasir-SEG/masks/c0.jpg",)),
        {None},
    ),
    "CVC-ClinicDB": (
        spread("{Original,Ground Truth}/{0,1,2}.tif"),
        3,
        ("Original/0.tif", ("Ground Truth/0.tif",)),
        {None},
    ),
    "DSB 2018": (
        spread("stage1_train/a1/{images/a1,masks/0f,masks/1f,masks/2f}.png", "stage1_train/b2/{images/b2,masks/9e}.png")
        + spread("stage1_test/{d4/images/d4,e5/images/e5}.png"),
        2,
        ("stage1_train/a1/images/a1.png", tuple(f"stage1_train/a1/masks/{n}f.png" for n in range(3))),
        {"train"},
    ),
    "Montgomery": (
        spread(
            "MontgomerySet/{CXR_png,ManualMask/leftMask,ManualMask/rightMask}/MCUCXR_000{0,1,2}_0.png",
            "MontgomerySet/ClinicalReadings/MCUCXR_0000_0.txt",
        ),
        3,
        (
            "MontgomerySet/CXR_png/MCUCXR_0000_0.png",
            tuple(f"MontgomerySet/ManualMask/{side}Mask/MCUCXR_0000_0.png" for side in ("left", "right")),
        ),
        {None},
    ),
    "GlaS": (
        spread("Grade.csv", "{train_1,train_2,testA_1,testB_1}{,_anno}.bmp"),
        4,
        ("testA_1.bmp", ("testA_1_anno.bmp",)),
        {"train", "test"},
    ),
    "LGG": (
        spread(
            "kaggle_3m/data.csv",
            "kaggle_3m/TCGA_A1/TCGA_A1_{1,2}{,_mask}.tif",
            "kaggle_3m/TCGA_B2/TCGA_B2_{1,2}{,_mask}.tif",
        ),
        4,
        ("kaggle_3m/TCGA_A1/TCGA_A1_1.tif", ("kaggle_3m/TCGA_A1/TCGA_A1_1_mask.tif",)),
        {None},
    ),
    "LGG within a folder that is called segmentation": (
        spread("lgg-mri-segmentation/kaggle_3m/{A1/A1,B2/B2}_{1,2}{,_mask}.tif"),
        4,
        ("lgg-mri-segmentation/kaggle_3m/A1/A1_1.tif", ("lgg-mri-segmentation/kaggle_3m/A1/A1_1_mask.tif",)),
        {None},
    ),
    "PH2": (
        spread(
            "PH2_dataset.txt",
            "PH2 Dataset images/IMD2/{IMD2_Dermoscopic_Image/IMD2,IMD2_lesion/IMD2_lesion,IMD2_roi/IMD2_R1_Label3}.bmp",
            "PH2 Dataset images/IMD3/{IMD3_Dermoscopic_Image/IMD3,IMD3_lesion/IMD3_lesion,IMD3_roi/IMD3_R1_Label3}.bmp",
        ),
        2,
        (
            "PH2 Dataset images/IMD2/IMD2_Dermoscopic_Image/IMD2.bmp",
            ("PH2 Dataset images/IMD2/IMD2_lesion/IMD2_lesion.bmp",),
        ),
        {None},
    ),
    "nnU-Net as PNG": (
        spread("dataset.json", "imagesTr/h_00{0,1,2}_0000.png", "labelsTr/h_00{0,1,2}.png", "imagesTs/h_009_0000.png"),
        3,
        ("imagesTr/h_000_0000.png", ("labelsTr/h_000.png",)),
        {None},
    ),
    "Pascal VOC": (
        spread("JPEGImages/{0,1,2}.jpg", "{SegmentationClass,SegmentationObject}/{0,1,2}.png"),
        3,
        ("JPEGImages/0.jpg", ("SegmentationClass/0.png",)),
        {None},
    ),
    "mmseg": (
        spread("img_dir/{training,validation}/{0,1}.jpg", "ann_dir/{training,validation}/{0,1}.png"),
        4,
        ("img_dir/training/0.jpg", ("ann_dir/training/0.png",)),
        {"train", "val"},
    ),
    "PraNet's polyps": (
        spread("TrainDataset/{image,mask}/{0,1,2}.png", "TestDataset/{CVC-300,Kvasir}/{images,masks}/{0,1}.png"),
        7,
        ("TestDataset/CVC-300/images/0.png", ("TestDataset/CVC-300/masks/0.png",)),
        {"train", "test"},
    ),
    "two data sets, of which one is called after segmentation": (
        spread("{Kvasir-SEG,CVC-300}/{images,masks}/{0,1}.png"),
        4,
        ("CVC-300/images/0.png", ("CVC-300/masks/0.png",)),
        {None},
    ),
    "side by side, told by the suffix": (
        spread("set/{0,1,2}.{jpg,png}"),
        3,
        ("set/0.jpg", ("set/0.png",)),
        {None},
    ),
    "one folder per case": (
        spread("case{0,1,2}/{image,mask}.png"),
        3,
        ("case0/image.png", ("case0/mask.png",)),
        {None},
    ),
    "patients around images and masks": (
        spread("P{1,2}/{images,masks}/{0,1}.png"),
        4,
        ("P1/images/0.png", ("P1/masks/0.png",)),
        {None},
    ),
    "patients within images and masks": (
        spread("{images,masks}/P{1,2}/{0,1}.png"),
        4,
        ("images/P1/0.png", ("masks/P1/0.png",)),
        {None},
    ),
    "names that begin with what they are": (
        spread("images/image_0{0,1,2}.png", "masks/mask_0{0,1,2}.png"),
        3,
        ("images/image_00.png", ("masks/mask_00.png",)),
        {None},
    ),
    "Synapse's names": (
        spread("img/img000{0,1,2}.png", "label/label000{0,1,2}.png"),
        3,
        ("img/img0000.png", ("label/label0000.png",)),
        {None},
    ),
}


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
    "a folder for each class": (
        PER_CLASS,
        r"masks/cavity, masks/wall hold masks of the same images .*--masks masks/cavity; .*masks/cavity,masks/wall merges",
    ),
    "nnU-Net with channels": (
        spread("imagesTr/h{0,1}_000{0,1,2}.png", "labelsTr/h{0,1}.png"),
        r"the images in .* are in several files, one for each channel, such as h0_0001\.png; .*RGB picture",
    ),
    "COCO": (
        ["images/1.jpg", "annotations.json"],
        r"outlines in one JSON file \(annotations\.json\), which are not read yet; export them as masks",
    ),
    "labelme": (["1.jpg", "1.json"], r"outlines of a labelling tool, one file for each image \(1\.json\)"),
    "YOLO": (
        ["images/train/1.jpg", "labels/train/1.txt"],
        r"labels/train holds text files \(1\.txt\) as YOLO writes outlines",
    ),
    "masks as .npy": (["images/1.png", "masks/1.npy"], r"masks holds no images, only 1\.npy; PNG, JPEG"),
    "CAMUS": (spread("patient1/patient1_2CH_ED{,_gt}.nii.gz"), r"patient1 holds 2 volumes .*not readable yet"),
    "an archive": (["set.zip"], r"holds an archive \(set\.zip\); unpack it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_open_or_cannot_be_read_is_said_in_one_line(name: str, made: Made) -> None:
    names, words = REFUSED[name]
    with pytest.raises(DataError, match=words) as caught:
        discover(made(names))
    assert "\n" not in str(caught.value)


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
        texts = [finding.text for finding in recognise(root).findings if "not used" in finding.text]
        assert any("notes" in text and "sketches" in text for text in texts), (names[0], texts)


def test_instance_maps_and_second_observers_are_told_as_such(made: Made) -> None:
    root = made(
        [f"{folder}/{n}.png" for n in range(3) for folder in ("images", "masks", "instances", "gt", "observer2")]
    )
    match = recognise(root)
    assert match.cases[0].masks == ("masks/0.png",)
    assert match.cases[0].raters == (("observer2/0.png",),)
    texts = " | ".join(finding.text for finding in match.findings)
    assert "instances (instance maps)" in texts
    assert "gt (masks of the same images)" in texts
    assert "observer2: a second observer's masks of 3 images" in texts
