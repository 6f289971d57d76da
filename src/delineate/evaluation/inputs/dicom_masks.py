"""DICOM masks among predictions and references: files of any name, and classes by their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import raise_errors
from delineate.data.core.manifest import Case, ClassTable, Manifest
from delineate.data.formats.dicom.files import is_dicom
from delineate.data.formats.dicom.scan import dicom_files, scan
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.coded_items import SegmentCodes
from delineate.data.formats.dicom_masks.codes import CodeTable
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.segmentation_reader import SegmentationHandle
from delineate.data.formats.dicom_masks.structure_set_reader import StructureSetHandle
from delineate.data.formats.dicom_masks.suffixes import MASK_SUFFIXES
from delineate.data.formats.registry import open_image
from delineate.data.layouts.dicom_classes import classes_of_masks, same_label, tells
from delineate.data.layouts.dicom_codes import names_by_codes

__all__ = [
    "as_references",
    "called_by_codes",
    "dicom_masks",
    "file_of",
    "has_dicom_images",
    "is_dicom_mask",
    "is_mask_of_dicom",
    "labels_matched",
    "mask_notes",
    "matched_by_label",
    "names_of",
]


def dicom_masks(folder: Path) -> list[Path]:
    """Segmentations and structure sets of any name, directly in a folder, or else below it; none where there are DICOM images, too.

    Args:
        folder: of masks.

    Returns:
        Addresses; files whose names already tell what they are, as they are.
    """
    for deep in (False, True):
        found = scan(folder, deep=deep)
        if found.series:
            return []
        if found.masks:
            return [file if is_mask_of_dicom(file) else Path(str(MaskAddress(file))) for file in found.masks]
        if any(is_dicom(path) for path in folder.iterdir() if path.is_file()):
            return []
    return []


def file_of(mask: Path) -> Path:
    """The file that a mask lies in, or the first of its files.

    Args:
        mask: a file, or the address of a DICOM mask.

    Returns:
        Its path.
    """
    address = MaskAddress.parse(mask)
    return mask if address is None else address.file


def has_dicom_images(folder: Path) -> bool:
    """Whether there are DICOM images in a folder or below.

    Args:
        folder: of a data set.

    Returns:
        True for one at least; segmentations and structure sets are none.
    """
    return any(not series.is_localizer for _, series in scan(folder).series) if dicom_files(folder) else False


def is_mask_of_dicom(path: Path) -> bool:
    """Whether a file's name says that it is a DICOM mask.

    Args:
        path: of any file.

    Returns:
        True for `.seg.dcm` and `.rtstruct.dcm`.
    """
    return path.name.lower().endswith(MASK_SUFFIXES)


def names_of(mask: Path) -> dict[int, str]:
    """What a DICOM mask calls its segments or regions.

    Args:
        mask: a file, or an address.

    Returns:
        Value in the mask → label; none of what is no DICOM mask.
    """
    if not is_dicom_mask(mask):
        return {}
    found: dict[int, str] = {}
    for held, values in _parts(mask):
        found |= {
            values.get(number, number): name for number, name in held.names.items() if number in (values or held.names)
        }
    return found


def as_references(masks: Sequence[Path], codes: CodeTable | None = None) -> tuple[list[Path], ClassTable] | None:
    """Masks whose labels tell their classes, or their codes, with values that mean the same in each.

    Args:
        masks: files and addresses.
        codes: what tells classes by codes; None: labels do.

    Returns:
        Them, and the class table; None where they are no DICOM masks, or labels tell nothing.

    Raises:
        DataError: a segment is of no class of the codes, or of several.
    """
    names = [names_of(mask) for mask in masks]
    if names and all(names) and codes is not None:
        names = called_by_codes(masks, names, codes)
    if not names or not all(names) or not all(tells(label) for each in names for label in each.values()):
        return None
    order = [] if codes is None else [entry.name for entry in codes.entries]
    classes = classes_of_masks([(mask.name, each) for mask, each in zip(masks, names, strict=True)], order)
    if any(finding.severity == "error" for finding in classes.findings):
        return None
    made = []
    for mask, each in zip(masks, names, strict=True):
        values = classes.values(each)
        made.append(_becoming(mask, values) if values else mask)
    return made, classes.table


def called_by_codes(
    masks: Sequence[Path], names: Sequence[Mapping[int, str]], codes: CodeTable
) -> list[dict[int, str]]:
    """What a file of codes calls the segments of DICOM masks.

    Args:
        masks: files and addresses.
        names: of each, value → label.
        codes: the file.

    Returns:
        Of each, value → name of its class.

    Raises:
        DataError: a segment is of no class of the codes, or of several.
    """
    read = [(str(file_of(mask)), own, _codes_of(mask)) for mask, own in zip(masks, names, strict=True)]
    found = names_by_codes(codes, read)
    raise_errors(found.findings)
    return found.names


def _codes_of(mask: Path) -> dict[int, SegmentCodes]:
    """Value in a mask → its segment in codes."""
    found: dict[int, SegmentCodes] = {}
    for held, values in _parts(mask):
        found |= {
            values.get(number, number): code for number, code in held.codes.items() if number in (values or held.names)
        }
    return found


def _parts(mask: Path) -> list[tuple[SegmentationHandle | StructureSetHandle, Mapping[int, int]]]:
    """The objects of a mask, and what their values become; an empty table: what they are."""
    address = MaskAddress.parse(mask) or MaskAddress(mask)
    return [(open_object(file), values) for file, values in address.parts]


def _becoming(mask: Path, values: Mapping[int, int]) -> Path:
    return Path(str((MaskAddress.parse(mask) or MaskAddress(mask)).becoming(values)))


def matched_by_label(prediction: Path, classes: ClassTable, codes: CodeTable | None = None) -> tuple[Path, str]:
    """A predicted DICOM mask, its values those of the references' classes of the same labels.

    Args:
        prediction: a file, or an address.
        classes: of the references, with the values in their masks.
        codes: what tells classes by codes; None: labels do.

    Returns:
        The prediction, with an address that numbers it anew where its numbers differ; and what is to be told, mostly ''.

    Raises:
        DataError: some labels are those of the references, and others are none; or as `called_by_codes`.
    """
    wanted = _values(classes)
    names = names_of(prediction)
    if names and codes is not None:
        (names,) = called_by_codes([prediction], [names], codes)
    if not names or not wanted or not all(map(tells, names.values())):
        return prediction, ""
    known = {number: _value(label, wanted) for number, label in names.items()}
    lost = [label for number, label in names.items() if known[number] is None]
    if len(lost) == len(names):
        return prediction, f"other labels than the references' ({', '.join(lost)}), taken by their numbers"
    if lost:
        raise DataError(
            f"{file_of(prediction)} has the labels {', '.join(lost)}, which no reference has (they have {', '.join(wanted)}); "
            "give both the same labels"
        )
    values = {number: value for number, value in known.items() if value is not None}
    if all(number == value for number, value in values.items()):
        return prediction, ""
    return _becoming(prediction, values), ""


def labels_matched(
    pairs: Sequence[tuple[Path, Case]], classes: ClassTable, codes: CodeTable | None = None
) -> tuple[list[tuple[Path, Case]], list[str]]:
    """`matched_by_label` of all predictions.

    Args:
        pairs: predictions with their cases.
        classes: of the references.
        codes: what tells classes by codes; None: labels do.

    Returns:
        The pairs, and a sentence for the first of those whose labels are others.

    Raises:
        DataError: as `matched_by_label`.
    """
    found = [(*matched_by_label(prediction, classes, codes), case) for prediction, case in pairs]
    told = [f"The prediction of {case.id} has {note}." for _, note, case in found if note]
    return [(prediction, case) for prediction, _, case in found], told[:1]


def mask_notes(pairs: Sequence[tuple[Path, Case]], manifest: Manifest) -> list[str]:
    """What DICOM masks say of themselves, such as that they hold fractions; names of files are left out.

    Args:
        pairs: predictions with their cases.
        manifest: of the cases.

    Returns:
        A sentence for the first of each kind.
    """
    told: dict[str, str] = {}
    for prediction, case in pairs:
        for what, mask in (("prediction", prediction), ("reference", manifest.path(case.masks[0]))):
            for note in open_image(mask).notes if is_dicom_mask(mask) else ():
                said = note
                for file in (MaskAddress.parse(mask) or MaskAddress(mask)).files:
                    said = said.replace(file.name, "").strip()
                told.setdefault(f"{what} {said}", f"The {what} of {case.id} {said}.")
    return list(told.values())


def is_dicom_mask(mask: Path) -> bool:
    """Whether a mask is a DICOM object, or several.

    Args:
        mask: a file, or an address.

    Returns:
        Whether it is, by its name.
    """
    return is_mask_of_dicom(mask) or MaskAddress.parse(mask) is not None


def _values(classes: ClassTable) -> Mapping[str, int]:
    """Name of a class → the first of its values; none where nobody has named the classes."""
    rule = classes.labels
    if rule is None or classes.names == ClassTable().names or not all(map(tells, classes.names[1:])):
        return {}
    found: dict[str, int] = {}
    for value, index in sorted((rule.values or {}).items()):
        if 0 < index < len(classes.names):
            found.setdefault(classes.names[index], value)
    return found


def _value(label: str, wanted: Mapping[str, int]) -> int | None:
    return next((value for name, value in wanted.items() if same_label(name, label)), None)
