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
from delineate.data.formats.dicom_masks.codes import CodeTable
from delineate.data.layouts.dicom_chosen import chosen_masks, chosen_series
from delineate.data.layouts.dicom_classes import MaskClasses, classes_of_masks, tells
from delineate.data.layouts.dicom_codes import names_by_codes
from delineate.data.layouts.dicom_joined import JoinedObjects, MaskObject
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
    placed, faults = _placed(opened, series, scanned, root)
    findings += faults
    order: list[str] = []
    if codes is not None:
        placed, faults = _called(placed, codes, root)
        findings += faults
        order = [entry.name for entry in codes.entries]
    paired, faults = _joined(placed, root)
    findings += faults
    sound = codes is None or not any(finding.severity == "error" for finding in findings)
    named = [(_files(mask, root), mask.names) for mask in paired.values()] if sound else []
    classes = classes_of_masks(named, order)
    findings += classes.findings + _notes(list(paired.values()), root)
    bare = [path for path in series if path not in paired]
    unlabeled = _unlabeled(tree.root, bare) if paired else []
    left = [path for path in bare if path not in unlabeled]
    if left and paired:
        findings.append(_left_out(left, root))
    cases = _cases(tree.root, root, [*paired, *unlabeled], paired, classes)
    return DicomLabels(root, cases, classes.table, findings)


def _common(root: Path, files: Sequence[Path]) -> Path:
    """The folder that holds the data set and all masks."""
    while not all(file.is_relative_to(root) for file in files):
        root = root.parent
    return root


def _opened(files: Sequence[Path], root: Path) -> tuple[list[MaskObject], list[Finding]]:
    opened, findings = [], []
    for file in files:
        try:
            opened.append(MaskObject.read(file))
        except DataError as error:
            text = str(error).replace(f"{root}/", "")
            findings.append(Finding("error", text, "or leave it out by naming the others with --masks"))
    return opened, findings


def _placed(
    masks: Sequence[MaskObject], series: Mapping[Path, Series], scanned: DicomSet, root: Path
) -> tuple[dict[Path, list[MaskObject]], list[Finding]]:
    """Address of the image → its masks without copies of a file, and what does not pair."""
    instances = {path: frozenset(frame.header.instance for frame in one.frames) for path, one in series.items()}
    frames = {
        path: frozenset((frame.header.instance, frame.index + 1) for frame in one.frames)
        for path, one in series.items()
    }
    names = {path: one.frames[0].header.series for path, one in series.items()}
    of: dict[Path, list[MaskObject]] = defaultdict(list)
    findings = []
    for mask in masks:
        fitting = [path for path in series if mask.references.fits(names[path], instances[path], frames[path])]
        if len(fitting) == 1:
            of[fitting[0]].append(mask)
        else:
            findings.append(_unpaired(mask, fitting, instances, scanned, root))
    placed = {}
    for path, members in sorted(of.items()):
        digests = [sha256(mask.file) if len(members) > 1 else "" for mask in members]
        placed[path] = [mask for at, mask in enumerate(members) if digests[at] not in digests[:at]]
        for one in placed[path] if len(placed[path]) < len(members) else ():
            copies = digests.count(digests[members.index(one)]) - 1
            if copies:
                text = f"{count(copies, 'copy', 'copies')} of {_place(one.file, root)} left out"
                findings.append(Finding("note", text))
    return placed, findings


def _called(
    placed: Mapping[Path, Sequence[MaskObject]], codes: CodeTable, root: Path
) -> tuple[dict[Path, list[MaskObject]], list[Finding]]:
    """The masks with the names of the classes that the codes of their segments mean."""
    masks = [mask for members in placed.values() for mask in members]
    found = names_by_codes(codes, [(_place(mask.file, root), mask.names, mask.codes) for mask in masks])
    named = iter([replace(mask, names=names) for mask, names in zip(masks, found.names, strict=True)])
    return {path: [next(named) for _ in members] for path, members in placed.items()}, found.findings


def _joined(placed: Mapping[Path, Sequence[MaskObject]], root: Path) -> tuple[dict[Path, JoinedObjects], list[Finding]]:
    """Address of the image → its mask; errors where two objects hold the same class."""
    paired, findings = {}, []
    several = []
    for path, members in placed.items():
        mask = paired[path] = JoinedObjects(tuple(members))
        if (same := mask.twice) is not None:
            name, one, other = same
            text = f"{_place(one, root)} and {_place(other, root)} both hold the class '{name}' of {_place(path, root)}"
            findings.append(
                Finding("error", text, _CHOOSE if tells(name) else f"{_CHOOSE}, or tell classes with --codes")
            )
        elif len(members) > 1:
            several.append(_files(mask, root))
    if several:
        number = count(len(several), "series has its classes", "series have their classes")
        findings.append(Finding("note", f"{number} in several files, which are joined: {some(several, _TOLD)}"))
    return paired, findings


def _files(mask: JoinedObjects, root: Path) -> str:
    return " + ".join(_place(one.file, root) for one in mask.objects)


def _unpaired(
    mask: MaskObject, fitting: Sequence[Path], instances: Mapping[Path, frozenset[str]], scanned: DicomSet, root: Path
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


def _notes(masks: Sequence[JoinedObjects], root: Path) -> list[Finding]:
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
    folder: Path, root: Path, paths: Sequence[Path], masks: Mapping[Path, JoinedObjects], classes: MaskClasses
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


def _address(root: Path, path: Path, mask: JoinedObjects, classes: MaskClasses) -> str:
    image = DicomAddress.parse(path)
    assert image is not None, "made of an address"
    address = mask.address(classes.values(mask.names), image.key, image.place)
    return Path(str(address)).relative_to(root).as_posix()


def _file(root: Path, path: Path) -> File:
    """An image by the folders that it lies in."""
    return File(path, folders_of(root, path), path.name)
