"""Cases of DICOM masks are numbered: names of files often tell who the patient is, and cases stand in tables and on pages.

Predictions are paired with them by the names of the files all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.words import mask_base, normal
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.names import holds_dicom
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.suffixes import MASK_SUFFIXES
from delineate.data.formats.registry import file_stem

__all__ = ["by_listed_images", "file_names", "numbered", "of_dicom", "without_names"]

_NUMBER = re.compile(r"case_\d{4,}")


def numbered(cases: Sequence[Case], grouping: str) -> tuple[list[Case], str]:
    """Cases and their groups by number where their masks are DICOM and are not numbered already.

    Args:
        cases: of a folder of masks, called as the files.
        grouping: how their groups were found, in words.

    Returns:
        The cases, and the words without names; as they are where masks are no DICOM.
    """
    if not any(_is_dicom(case) for case in cases) or all(_NUMBER.fullmatch(case.id) for case in cases):
        return list(cases), grouping
    groups: dict[str, str] = {}
    found = []
    for number, case in enumerate(sorted(cases, key=lambda one: one.id), 1):
        group = None if case.group is None else groups.setdefault(case.group, f"group_{len(groups) + 1:04d}")
        found.append(case.model_copy(update={"id": f"case_{number:04d}", "group": group}))
    return found, f"{count(len(groups), 'group')}, by the names of files" if groups else grouping


def file_names(cases: Iterable[Case]) -> dict[str, str]:
    """What `numbered` cases would be called by their files.

    Args:
        cases: of references.

    Returns:
        Name → id, of those whose id is a number that the file's name does not have.
    """
    found = {}
    for case in cases:
        if _is_dicom(case) and _NUMBER.fullmatch(case.id):
            stem = normal(file_stem(Path(case.masks[0])))
            found[mask_base(stem) or stem] = case.id
    return {name: case for name, case in found.items() if name != case}


def without_names(given: Mapping[str, Path], names: Mapping[str, str]) -> dict[str, Path]:
    """Predictions by the ids of their cases.

    Args:
        given: name → file.
        names: of `file_names`.

    Returns:
        Id → file. A file that is called as a number, and is of no case by its name, is not that case's.
    """
    numbers = set(names.values())
    chance = {name: f"file {name}" for name in given if name in numbers and name not in names}
    return {names.get(name, chance.get(name, name)): file for name, file in given.items()}


def by_listed_images(
    files: Sequence[Path], images: Mapping[Path, str], cases: Sequence[Case]
) -> dict[str, Path] | None:
    """Masks of DICOM images and their cases are numbered, but the same number need not be the same image.

    Args:
        files: predictions.
        images: prediction → the image that it was made from.
        cases: references.

    Returns:
        Case → its prediction, those of no case by their own names; None where predictions or cases do not name a DICOM image each.
    """
    of_files = {file: DicomAddress.parse(images.get(file, "")) for file in files}
    of_cases = {case.id: DicomAddress.parse(case.images[0]) if case.images else None for case in cases}
    if not files or None in of_files.values() or None in of_cases.values():
        return None
    names = {address.key: name for name, address in of_cases.items() if address is not None}
    return {
        names.get(address.key, f"file {file.name}"): file for file, address in of_files.items() if address is not None
    }


def of_dicom(predictions: Iterable[Path], cases: Iterable[Case], references: Manifest, run: Path | None) -> bool:
    """Whether names of folders may tell who a patient is.

    Args:
        predictions: files.
        cases: their references.
        references: of the data set.
        run: the manifest of the model's run; None where there is none.

    Returns:
        True where masks or images are DICOM, or the model learned from such images.
    """
    masks = [*map(str, predictions), *(mask for case in cases for mask in case.masks)]
    if any(mask.lower().endswith(MASK_SUFFIXES) or MaskAddress.parse(mask) is not None for mask in masks):
        return True
    if holds_dicom(references):
        return True
    try:
        return run is not None and holds_dicom(Manifest.load(run))
    except DataError:
        return False


def _is_dicom(case: Case) -> bool:
    return len(case.masks) == 1 and case.masks[0].lower().endswith(MASK_SUFFIXES)
