"""Segmentations and structure sets of a folder as the masks of its DICOM series: paired by UIDs, whatever the files are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case, ClassTable
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.series import Series
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.coded_items import SegmentCodes
from delineate.data.formats.dicom_masks.codes import CodeTable
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.references import References
from delineate.data.layouts.dicom_chosen import chosen_masks, chosen_series
from delineate.data.layouts.dicom_classes import MaskClasses, classes_of_masks
from delineate.data.layouts.dicom_codes import names_by_codes
from delineate.data.layouts.dicom_sets import DicomSet, folders_of
from delineate.data.layouts.roles import split_levels, split_of
from delineate.data.layouts.tree import File, Tree
from delineate.data.layouts.unlabeled import unlabeled_files

__all__ = ["LAYOUT", "DicomLabels", "find_dicom_labels"]

LAYOUT = "DICOM series with DICOM masks"
_TOLD = 3
_CHOOSE = "say which are meant: --masks with a folder, a file, or a pattern such as '*_liver.dcm'"


@dataclass
class DicomLabels:
    """Series as cases, with their masks. Usable only if no finding is an error."""

    root: Path
    """What the cases' paths are relative to."""
    cases: list[Case] = field(default_factory=list)
    classes: ClassTable = field(default_factory=ClassTable)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class _Mask:
    """A segmentation or a structure set."""

    file: Path
    names: dict[int, str]
    """Label of each segment by its number; where a file of codes tells its class, that one's name."""
    codes: dict[int, SegmentCodes]
    references: References
    notes: tuple[str, ...]


def find_dicom_labels(
    tree: Tree, scanned: DicomSet, images: str | None, masks: str | None, codes: CodeTable | None = None
) -> DicomLabels | None:
    """The series of a folder that have DICOM masks, and these; None where there are no such masks, or others were named.

    Args:
        tree: of the folder.
        scanned: its DICOM images.
        images: what the user names as images; None: all series.
        masks: what the user names as masks; None: all segmentations and structure sets in the folder.
        codes: what tells classes by the codes of segments; None: their labels do.

    Returns:
        Cases whose masks are addresses on the grids of their images.

    Raises:
        DataError: what is named as images has no series, or classes are named by folders.
    """
    files = list(scanned.masks) if masks is None else chosen_masks(tree.root, list(scanned.masks), masks)
    if not files or not scanned.files:
        return None
    series = chosen_series(tree.root, scanned.files, images)
    root = _common(tree.root, [*files, *series])
    opened, findings = _opened(files, root)
    paired, faults = _paired(opened, series, scanned, root)
    findings += faults
    classes, faults = _classes(paired, codes, root)
    findings += faults + classes.findings + _notes(list(paired.values()), root)
    bare = [path for path in series if path not in paired]
    unlabeled = _unlabeled(tree.root, bare) if paired else []
    left = [path for path in bare if path not in unlabeled]
    if left and paired:
        findings.append(_left_out(left, root))
    cases = _cases(tree.root, root, [*paired, *unlabeled], paired, classes)
    return DicomLabels(root, cases, classes.table, findings)


def _classes(paired: dict[Path, _Mask], codes: CodeTable | None, root: Path) -> tuple[MaskClasses, list[Finding]]:
    """By labels, or by codes: then `paired` gets the names of these."""
    masks, order = list(paired.values()), []
    if codes is not None:
        found = names_by_codes(codes, [(_shown(mask, root), mask.names, mask.codes) for mask in masks])
        if found.findings:
            return MaskClasses(ClassTable()), found.findings
        order = [entry.name for entry in codes.entries]
        masks = [replace(mask, names=names) for mask, names in zip(masks, found.names, strict=True)]
        paired.update(zip(paired, masks, strict=True))
    return classes_of_masks([(_shown(mask, root), mask.names) for mask in masks], order), []


def _shown(mask: _Mask, root: Path) -> str:
    return mask.file.relative_to(root).as_posix()


def _common(root: Path, files: Sequence[Path]) -> Path:
    """The folder that holds the data set and all masks."""
    while not all(file.is_relative_to(root) for file in files):
        root = root.parent
    return root


def _opened(files: Sequence[Path], root: Path) -> tuple[list[_Mask], list[Finding]]:
    opened, findings = [], []
    for file in files:
        try:
            found = open_object(file)
            opened.append(_Mask(file, found.names, found.codes, found.references, found.notes))
        except DataError as error:
            text = str(error).replace(f"{root}/", "")
            findings.append(Finding("error", text, "or leave it out by naming the others with --masks"))
    return opened, findings


def _paired(
    masks: Sequence[_Mask], series: Mapping[Path, Series], scanned: DicomSet, root: Path
) -> tuple[dict[Path, _Mask], list[Finding]]:
    """Address of the image → its mask, and what does not pair."""
    instances = {path: frozenset(frame.header.instance for frame in one.frames) for path, one in series.items()}
    frames = {
        path: frozenset((frame.header.instance, frame.index + 1) for frame in one.frames)
        for path, one in series.items()
    }
    names = {path: one.frames[0].header.series for path, one in series.items()}
    of: dict[Path, list[_Mask]] = defaultdict(list)
    findings = []
    for mask in masks:
        fitting = [path for path in series if mask.references.fits(names[path], instances[path], frames[path])]
        if len(fitting) == 1:
            of[fitting[0]].append(mask)
        else:
            findings.append(_unpaired(mask, fitting, instances, scanned, root))
    paired = {}
    for path, members in sorted(of.items()):
        first, *others = members
        digest = sha256(first.file) if others else ""
        copies = [mask for mask in others if sha256(mask.file) == digest]
        paired[path] = first
        if len(copies) < len(others):
            both = " and ".join(mask.file.relative_to(root).as_posix() for mask in members if mask not in copies)
            text = f"{both} are masks of the same series, {_place(path, root)}"
            findings.append(Finding("error", text, _CHOOSE))
        elif copies:
            text = f"{count(len(copies), 'copy', 'copies')} of {first.file.relative_to(root).as_posix()} left out"
            findings.append(Finding("note", text))
    return paired, findings


def _unpaired(
    mask: _Mask, fitting: Sequence[Path], instances: Mapping[Path, frozenset[str]], scanned: DicomSet, root: Path
) -> Finding:
    """Why a mask has no series, or has several."""
    file, named = mask.file.relative_to(root).as_posix(), mask.references.instances
    parts = fitting or [path for path, own in instances.items() if own & named]
    if len(parts) > 1:
        text = f"{file} is a mask of several series ({some([_place(path, root) for path in parts], _TOLD)})"
        return Finding(
            "error", text, "export a mask for each of them, or leave it out by naming the others with --masks"
        )
    if parts:
        here = len(named & instances[parts[0]])
        text = f"{file} is a mask of {len(named)} images, of which {here} are here ({_place(parts[0], root)})"
        return Finding("error", text, "add the others, or leave the mask out by naming the others with --masks")
    if not named and not mask.references.series:
        text = f"{file} does not say which images it is of"
        return Finding("error", text, "export it with references to its images, or convert it to a NIfTI mask")
    faulty = next((at for at, uids in scanned.refused.items() if uids & named), None)
    if faulty is not None:
        return Finding("error", f"{file} is a mask of a series that cannot be read, {_place(faulty, root)}")
    text = f"{file} is a mask of a series that is not in {scanned.place}"
    return Finding("error", text, "add its images, or leave it out by naming the others with --masks")


def _place(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _notes(masks: Sequence[_Mask], root: Path) -> list[Finding]:
    """What the masks say of themselves, such as that they hold fractions."""
    told = [note for mask in masks for note in mask.notes]
    if not told:
        return []
    more = f" ({count(len(told) - 1, 'more mask is', 'more masks are')} like this)" if len(told) > 1 else ""
    return [Finding("warning", f"{told[0].replace(f'{root}/', '')}{more}")]


def _unlabeled(root: Path, paths: Sequence[Path]) -> list[Path]:
    """Those in a folder `unlabeled`, for training alone."""
    return [file.path for file in unlabeled_files([_file(root, path) for path in paths])]


def _left_out(paths: Sequence[Path], root: Path) -> Finding:
    number = count(len(paths), "DICOM image without mask is", "DICOM images without masks are")
    text = f"{number} left out: {some([_place(path, root) for path in paths], _TOLD)}"
    return Finding("warning", text, "those in a folder `unlabeled` are kept, to train on them without masks")


def _cases(
    folder: Path, root: Path, paths: Sequence[Path], masks: Mapping[Path, _Mask], classes: MaskClasses
) -> list[Case]:
    files = [_file(folder, path) for path in paths]
    levels = split_levels(files)
    splits = {path: split_of(file, levels) for path, file in zip(paths, files, strict=True)}
    divided = len({splits[path] for path in masks}) > 1
    cases = []
    for path in paths:
        mask = masks.get(path)
        split = (splits[path] or "train") if divided else None
        cases.append(
            Case(
                id=path.name,
                images=(path.relative_to(root).as_posix(),),
                masks=() if mask is None else (_address(root, path, mask, classes),),
                split="train" if divided and mask is None else split,
            )
        )
    return cases


def _address(root: Path, path: Path, mask: _Mask, classes: MaskClasses) -> str:
    image = DicomAddress.parse(path)
    assert image is not None, "made of an address"
    address = MaskAddress(mask.file, image.key, classes.values(mask.names), image.place)
    return Path(str(address)).relative_to(root).as_posix()


def _file(root: Path, path: Path) -> File:
    """An image by the folders that it lies in."""
    return File(path, folders_of(root, path), path.name)
