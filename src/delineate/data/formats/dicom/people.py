"""Whether a DICOM header or its pixels tell who a patient is: which tags are filled, never with what."""

from __future__ import annotations

from typing import Any

__all__ = ["has_private_tags", "identifying_tags", "may_show_a_face", "may_show_text"]

_TAGS = (
    "PatientName",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientBirthName",
    "PatientMotherBirthName",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "MilitaryRank",
    "ResponsiblePerson",
    "PatientComments",
    "AdditionalPatientHistory",
    "AccessionNumber",
    "AdmissionID",
    "ReferringPhysicianName",
    "RequestingPhysician",
    "PerformingPhysicianName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "OperatorsName",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "ImageComments",
)
"""Some of those that PS3.15 (Annex E) removes; an ID alone may be a pseudonym."""
_REMOVED = frozenset(
    (
        "anonymous",
        "anonymized",
        "anonymised",
        "anon",
        "removed",
        "deidentified",
        "de-identified",
        "none",
        "unknown",
        "na",
        "n/a",
    )
)
"""What tools put in place of a name."""
_TEXT = frozenset(("US", "IVUS", "ES", "XC", "SC", "OT", "RF", "GM", "DOC", "SR"))
"""Modalities whose pictures often show names and dates."""
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary capture: pictures of a screen, whatever their modality."""


def identifying_tags(dataset: Any) -> tuple[str, ...]:
    """The tags that tell who the patient is.

    Args:
        dataset: pydicom's data set.

    Returns:
        Their keywords; those that are empty or say `anonymous` are left out, and so is the name where the header says that the
        patient's identity was removed: it is a pseudonym then.

    Example:
        >>> from pydicom import Dataset
        >>> from delineate.data.formats.dicom.people import identifying_tags
        >>> dataset = Dataset()
        >>> dataset.PatientName, dataset.AccessionNumber, dataset.StationName = "Doe^Jane", "", "ANONYMOUS"
        >>> identifying_tags(dataset)
        ('PatientName',)
    """
    pseudonym = _text(dataset, "PatientIdentityRemoved").upper() == "YES"
    filled = [keyword for keyword in _TAGS if _text(dataset, keyword).strip("^ ").lower() not in ("", *_REMOVED)]
    return tuple(keyword for keyword in filled if not (pseudonym and keyword == "PatientName"))


def has_private_tags(dataset: Any) -> bool:
    """Whether there are tags of a manufacturer's own in a data set, which may hold anything."""
    return any(tag >> 16 & 1 for tag in dataset.keys())  # noqa: SIM118 - pydicom iterates over values


def may_show_text(dataset: Any) -> bool:
    """Whether the pixels may show text of the patient: the header says so, or it is a kind of picture that often does and says
    nothing."""
    said = _text(dataset, "BurnedInAnnotation").upper()
    often = _text(dataset, "Modality") in _TEXT or _text(dataset, "SOPClassUID").startswith(_CAPTURE)
    return said == "YES" or (said != "NO" and often)


def may_show_a_face(dataset: Any) -> bool:
    """Whether the header says that a face can be recognized in the pixels."""
    return _text(dataset, "RecognizableVisualFeatures").upper() == "YES"


def _text(dataset: Any, keyword: str) -> str:
    try:
        value = dataset.get(keyword)
    except Exception:
        return ""
    return "" if value is None else str(value).strip(" \0")
