"""What made an image, as names and headers tell it: only computed tomography matters so far, whose values have a unit.

Names are those of channels in `dataset.json` and the like, and DICOM's codes (CT, MR, PT).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["of_ct", "one_modality", "other_modality", "said_of_ct"]

_CODES = {"ct": "CT", "mr": "MR", "mri": "MR", "pt": "PT", "pet": "PT", "us": "US", "nm": "NM"}
"""Names of whole modalities → DICOM's codes."""
_OTHERS = frozenset({"pet", "pt", "mr", "mri", "spect", "cbct"})


def said_of_ct(name: str) -> bool:
    """Whether a name says computed tomography: "CT" stands in it as a word, and no other modality does.

    Args:
        name: of a channel or a modality.

    Returns:
        True of "CT", "ct_arterial" and "CT 1"; False of "PET-CT", and of "CT1", which may be a T1 with contrast medium.

    Example:
        >>> from delineate.data.core.modality import said_of_ct
        >>> said_of_ct("CT_venous"), said_of_ct("PET/CT"), said_of_ct("T1ct1")
        (True, False, False)
    """
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    return "ct" in words and not words & _OTHERS


def of_ct(names: Sequence[str]) -> bool | None:
    """What the names of all channels say together.

    Args:
        names: of the channels, or of the modality where there is one.

    Returns:
        True: all are of computed tomography. False: none is. None: some are.

    Example:
        >>> from delineate.data.core.modality import of_ct
        >>> of_ct(["CT"]), of_ct(["T1", "FLAIR"]), of_ct(["CT", "PET"])
        (True, False, None)
    """
    said = {said_of_ct(name) for name in names}
    return None if len(said) > 1 else said == {True}


def one_modality(names: Sequence[str | None]) -> str | None:
    """The modality of all images together.

    Args:
        names: of each, where it is known.

    Returns:
        DICOM's code; None where one is not known, or they are several.

    Example:
        >>> from delineate.data.core.modality import one_modality
        >>> one_modality(["CT", "ct"]), one_modality(["MRI"]), one_modality(["CT", None]), one_modality(["T1"])
        ('CT', 'MR', None, None)
    """
    codes = {_CODES.get((name or "").strip().lower()) for name in names}
    return codes.pop() if len(codes) == 1 else None


def other_modality(given: str | None, trained: str | None) -> str | None:
    """A remark for an image that something else made than the training images.

    Args:
        given: what made the image, where it is known.
        trained: what made the training images, likewise.

    Returns:
        The remark; None where they agree, or one is not known.

    Example:
        >>> from delineate.data.core.modality import other_modality
        >>> other_modality("MR", "CT")
        'a MR image given to a model trained on CT'
        >>> other_modality("MR", None) is None
        True
    """
    code = one_modality([given])
    return (
        None
        if code is None or trained is None or code == trained
        else f"a {code} image given to a model trained on {trained}"
    )
