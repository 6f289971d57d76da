"""Words in names of files and folders that tell what a number after them counts: patients, frames, splits, centers."""

from __future__ import annotations

import re

__all__ = [
    "CENTERS",
    "CLASSES",
    "IDENTITY",
    "KINDS",
    "PICTURES",
    "SEQUENCE",
    "SPLITS",
    "VARYING",
    "is_dropped",
    "names_no_patient",
    "names_one",
    "words_of",
]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_LETTERS = r"[^\W\d_]"
"""One letter of any alphabet, as part of a pattern."""

_PEOPLE = "patients?|pat|pts?|pid|subjects?|subj|sub|person|volunteer|animal|mouse|donor|case"
_SEQUENCES = "videos?|vid|sequence|seq|volumes?|vol|study|series|exam|clip|movie|stack|slide|wsi|specimen|biopsy"
_INITIALS = "[ps]|id"
"""Too short to be trusted unless a name begins with them: `P12_left`, `S3/004`."""

IDENTITY = re.compile(
    r"(?<![^\W_])TCGA[-_][A-Z0-9]{2}[-_][A-Z0-9]{4}(?![^\W_])"
    r"|LIDC-IDRI-\d+"
    rf"|(?<!{_LETTERS})(?:{_PEOPLE})[-_ .]?\d+"
    rf"|(?:(?<=/)|^)(?:{_PEOPLE})[-_ ][^\W_]+(?=/)"
    rf"|(?:(?<=/)|^)(?:{_INITIALS})[-_ ]?\d+(?=$|[/_. -]|(?:left|right|[lr]|o[ds])(?:$|[/_. -]))",
    re.IGNORECASE,
)
"""A person by name: barcodes of archives, a word for people with a number, a folder `patient_A`."""
SEQUENCE = re.compile(rf"(?<!{_LETTERS})(?:{_SEQUENCES})[-_ .]?\d+", re.IGNORECASE)
"""A video, a volume, a slide, with its number."""

VARYING = _set(
    "slice slc sl frame frm fr f image img im i picture pic photo z t time timepoint tp phase day visit v session ses level "
    "layer plane page field view tile patch crop roi region section cut part x y xmin ymin row col r c s n no nr scan run "
    "left right l od os eye ed es systole diastole end axial coronal sagittal ax cor sag cc mlo ap pa lateral lat frontal pre "
    "post baseline followup flair tw dwi adc ir"
)
"""What is told of one picture of a patient or sequence among the others."""
PICTURES = _set("image img im i picture pic photo scan run eye s n no nr c r")
"""Of those, the words that also stand before the number of the whole: `img_0012_t3`."""
_DIVIDED = _set("train training val valid validation test testing unlabeled unlabelled")
SPLITS = _DIVIDED | _set(
    "dev eval evaluation holdout labeled labelled fold folds split splits subset set part batch chunk shard round class classes "
    "category grade stage type label"
)
"""Divisions whose parts may be numbered."""
CENTERS = _set(
    "center centre centers centres site sites hospital clinic institution institute vendor scanner device domain source cohort "
    "dataset datasets database data db cvc clinicdb colondb kvasir etis larib isic busi drive stare chase hrf refuge "
    "acdc synapse brats lits idrid messidor"
)
CLASSES = _set(
    "benign malignant normal abnormal healthy diseased disease positive negative "
    "pos neg control controls tumor tumour tumors tumours cancer lesion lesions polyp polyps adenoma hyperplastic serrated nevus "
    "melanoma keratosis glaucoma amd dr covid pneumonia tuberculosis tb effusion cyst cysts stone stones"
)
KINDS = _set(
    "image images img imgs picture pictures photo photos original originals raw input inputs rgb gray grey png jpg jpeg tif tiff "
    "bmp mask masks label labels gt groundtruth annotation "
    "annotations segmentation patients subjects cases videos sequences"
)

_GATHERED = _set(
    "data set sets files folder folders studies study reports records notes scans slices frames pictures all"
)
"""After a word for people, the name of a whole: `patient_data`."""


_NNUNET = re.compile(r"(?:images|labels)T[rs]", re.IGNORECASE)
"""nnU-Net's folders of training and of test cases."""


def words_of(name: str) -> list[str]:
    """The words in a name, lower case: `TrainDataset_2` → train, dataset."""
    parts = re.findall(rf"{_LETTERS}+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name))
    return [part.lower() for part in parts]


def names_no_patient(folder: str) -> bool:
    """Whether a folder's name tells of a split, a class, a center, a data set, or the kind of its files."""
    words = set(words_of(folder))
    if words and words <= CLASSES:  # one of many findings, where it has a number: `polyp_17`
        return not re.search(r"\d", folder)
    return bool(words) and words <= SPLITS | CENTERS | KINDS | CLASSES


def names_one(found: str) -> bool:
    """Whether what `IDENTITY` or `SEQUENCE` found names one of many, and not `patient_data`, `case_images`, `subject_controls`."""
    words = words_of(found)
    return bool(re.search(r"\d", found)) or not words or words[-1] not in SPLITS | CENTERS | KINDS | CLASSES | _GATHERED


def is_dropped(folder: str) -> bool:
    """Of such a folder: whether the same patient in two of its like is one patient (splits, classes), unlike in two centers."""
    words = set(words_of(folder))
    named = words & _DIVIDED and not re.search(
        r"[\W_]\d+$", folder
    )  # `ISIC-2017_Training_Data`, but not `BraTS_Training_001`
    return bool(named or _NNUNET.fullmatch(folder)) or (names_no_patient(folder) and not words & CENTERS)
