"""SNOMED CT's codes of structures that are often segmented, found by a class's name."""

from __future__ import annotations

import re
from typing import NamedTuple

from delineate.data.core.class_codes import Code

__all__ = ["ABNORMAL", "ANATOMY", "LEFT", "RIGHT", "STRUCTURES", "TISSUE", "KnownCode", "known_code"]


class KnownCode(NamedTuple):
    """What a name means."""

    category: Code
    type: Code
    side: Code | None


TISSUE = Code("85756007", "SCT", "Tissue")
"""For what has no better code; category and type."""
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
"""Category of organs and their parts."""
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
"""Category of tumors, lesions and the like."""
LEFT = Code("7771000", "SCT", "Left")
"""Modifier."""
RIGHT = Code("24028007", "SCT", "Right")
"""Modifier."""

_ANATOMIC = {
    "adrenal gland": ("23451007", "Adrenal gland"),
    "aorta": ("15825003", "Aorta"),
    "artery": ("51114001", "Artery"),
    "bladder": ("89837001", "Bladder"),
    "bone": ("272673000", "Bone"),
    "brain": ("12738006", "Brain"),
    "breast": ("76752008", "Breast"),
    "cartilage": ("309312004", "Cartilage"),
    "clavicle": ("51299004", "Clavicle"),
    "colon": ("71854001", "Colon"),
    "duodenum": ("38848004", "Duodenum"),
    "esophagus": ("32849002", "Esophagus"),
    "eye": ("81745001", "Eye"),
    "femur": ("71341001", "Femur"),
    "gallbladder": ("28231008", "Gallbladder"),
    "heart": ("80891009", "Heart"),
    "hippocampus": ("5366008", "Hippocampus"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "kidney": ("64033007", "Kidney"),
    "left atrium": ("82471001", "Left atrium"),
    "left ventricle": ("87878005", "Left ventricle"),
    "liver": ("10200004", "Liver"),
    "lung": ("39607008", "Lung"),
    "mandible": ("91609006", "Mandible"),
    "muscle": ("71616004", "Muscle"),
    "optic disc": ("81016008", "Optic nerve head"),
    "pancreas": ("15776009", "Pancreas"),
    "portal vein": ("32764006", "Portal vein"),
    "prostate": ("41216001", "Prostate"),
    "rectum": ("34402009", "Rectum"),
    "rib": ("113197003", "Rib"),
    "right atrium": ("73829009", "Right atrium"),
    "right ventricle": ("53085002", "Right ventricle"),
    "skin": ("39937001", "Skin"),
    "small intestine": ("30315005", "Small intestine"),
    "spinal cord": ("2748008", "Spinal cord"),
    "spleen": ("78961009", "Spleen"),
    "stomach": ("69695003", "Stomach"),
    "thyroid": ("69748006", "Thyroid"),
    "tooth": ("38199008", "Tooth"),
    "trachea": ("44567001", "Trachea"),
    "uterus": ("35039007", "Uterus"),
    "vein": ("29092000", "Vein"),
    "vertebra": ("51282000", "Vertebra"),
    "vessel": ("59820001", "Blood Vessel"),
}
_ABNORMAL = {
    "cyst": ("367643001", "Cyst"),
    "edema": ("79654002", "Edema"),
    "hemorrhage": ("50960005", "Hemorrhage"),
    "lesion": ("52988006", "Lesion"),
    "mass": ("4147007", "Mass"),
    "necrosis": ("6574001", "Necrosis"),
    "neoplasm": ("108369006", "Neoplasm"),
    "nodule": ("27925004", "Nodule"),
    "tumor": ("108369006", "Neoplasm"),
}
STRUCTURES: dict[str, tuple[Code, Code]] = {
    name: (category, Code(value, "SCT", meaning))
    for category, table in ((ANATOMY, _ANATOMIC), (ABNORMAL, _ABNORMAL))
    for name, (value, meaning) in table.items()
}
"""Name → category and type."""
_ALSO = {
    "blood vessel": "vessel",
    "blood vessels": "vessel",
    "gall bladder": "gallbladder",
    "oesophagus": "esophagus",
    "oedema": "edema",
    "haemorrhage": "hemorrhage",
    "urinary bladder": "bladder",
    "optic disk": "optic disc",
    "postcava": "inferior vena cava",
    "thyroid gland": "thyroid",
    "tumour": "tumor",
    "vertebrae": "vertebra",
    "teeth": "tooth",
}
_SIDES = {"left": LEFT, "right": RIGHT}


def known_code(name: str) -> KnownCode | None:
    """What a class's name means, where it is a common one. Nothing is guessed of names that only contain one.

    Args:
        name: such as "liver", "left kidney", "Kidney_R" or "lungs".

    Returns:
        Its code, or None.

    Example:
        >>> from delineate.data.formats.dicom_masks.snomed import known_code
        >>> known_code("kidney_left").type.meaning, known_code("kidney_left").side.meaning
        ('Kidney', 'Left')
        >>> known_code("liver tumor") is None
        True
    """
    words = [word for word in re.split(r"[\s_\-]+", name.strip().lower()) if word]
    whole = _structure(words)
    if whole is not None:
        return KnownCode(*whole, None)
    for side, code in _SIDES.items():
        for at in (0, -1):
            if len(words) > 1 and words[at] in (side, side[0]):
                rest = _structure(words[1:] if at == 0 else words[:-1])
                if rest is not None:
                    return KnownCode(*rest, code)
    return None


def _structure(words: list[str]) -> tuple[Code, Code] | None:
    name = " ".join(words)
    for form in (name, name.removesuffix("s"), name.removesuffix("es")):
        found = STRUCTURES.get(_ALSO.get(form, form))
        if found is not None:
            return found
    return None
