"""Published sets as their authors give them out, and the layouts of other tools, as lists of file names."""

from __future__ import annotations

import re

Names = list[str]


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
    "splits in the names of folders": (
        spread("{train,test}_images/{a,b}.jpg", "{train,test}_masks/{a,b}.png"),
        4,
        ("train_images/a.jpg", ("train_masks/a.png",)),
        {"train", "test"},
    ),
    "an ending that nobody knows": (
        spread("scans/IDRiD_0{1,2,3}.jpg", "Segmentation Groundtruths/IDRiD_0{1,2,3}_MA.tif"),
        3,
        ("scans/IDRiD_01.jpg", ("Segmentation Groundtruths/IDRiD_01_MA.tif",)),
        {None},
    ),
    "raters by the ends of names": (
        spread("{a,b}{,_rater1,_rater2}.png"),
        2,
        ("a.png", ("a_rater1.png",)),
        {None},
    ),
    "side by side, told by the starts of names": (
        spread("{img,mask}_0{0,1,2}.png"),
        3,
        ("img_00.png", ("mask_00.png",)),
        {None},
    ),
    "TN3K": (
        spread("tn3k/{trainval,test}-{image,mask}/000{0,1,2}.jpg"),
        6,
        ("tn3k/trainval-image/0001.jpg", ("tn3k/trainval-mask/0001.jpg",)),
        {"train", "test"},
    ),
    "folders of two hospitals": (
        spread("{north,south}_{images,masks}/{0,1,2}.png"),
        6,
        ("south_images/2.png", ("south_masks/2.png",)),
        {None},
    ),
    "nnU-Net with labels to test on, of the same names": (
        spread("{images,labels}{Tr,Ts}/h_00{0,1,2}.png"),
        6,
        ("imagesTs/h_001.png", ("labelsTs/h_001.png",)),
        {"train", "test"},
    ),
    "a mask called nothing else beside the picture of the folder's name": (
        spread("P{1,2,3}/mask.png", "P1/P1.png", "P2/P2.png", "P3/P3.png"),
        3,
        ("P2/P2.png", ("P2/mask.png",)),
        {None},
    ),
    "Synapse's names": (
        spread("img/img000{0,1,2}.png", "label/label000{0,1,2}.png"),
        3,
        ("img/img0000.png", ("label/label0000.png",)),
        {None},
    ),
}
