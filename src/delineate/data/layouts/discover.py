"""A folder as people already have it → its cases, from file names (of packed files, from their headers): nothing is renamed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.file_names import usable_names
from delineate.data.core.findings import Finding, count, raise_errors, some
from delineate.data.core.manifest import Case, ClassTable, Manifest
from delineate.data.core.words import printable
from delineate.data.formats.archives import packed_stem
from delineate.data.formats.containers import is_unread_archive
from delineate.data.formats.dicom.files import is_dicom
from delineate.data.formats.dicom_masks.codes import CodeTable
from delineate.data.formats.registry import reads_volume
from delineate.data.layouts.annotations.found import Unmarked
from delineate.data.layouts.annotations.sets import find_annotated, named_files
from delineate.data.layouts.archive_sets import Found, find_array_files, find_packed
from delineate.data.layouts.asides import told_aside
from delineate.data.layouts.case_folders import LAYOUT as CASE_FOLDERS
from delineate.data.layouts.case_folders import find_case_folders
from delineate.data.layouts.choice import quoted
from delineate.data.layouts.class_masks import LAYOUT as CLASS_FOLDERS
from delineate.data.layouts.class_masks import called_as_images, with_classes
from delineate.data.layouts.description import describe, unlisted
from delineate.data.layouts.dicom_labels import LAYOUT as DICOM_MASKS
from delineate.data.layouts.dicom_labels import find_dicom_labels
from delineate.data.layouts.dicom_sets import LAYOUT, DicomSet, add_dicom
from delineate.data.layouts.frame_channels import with_frames
from delineate.data.layouts.groups import with_groups
from delineate.data.layouts.meta_splits import apply_meta
from delineate.data.layouts.nnunet_splits import apply_division
from delineate.data.layouts.pictures import Pictures, find_pictures
from delineate.data.layouts.roles import assign, split_levels, split_of
from delineate.data.layouts.sameness import check_alike
from delineate.data.layouts.selection import Selection, select
from delineate.data.layouts.split_lists import VOC_LISTS, apply_lists, has_lists, left_out_by_voc
from delineate.data.layouts.tree import File, Tree, walk
from delineate.data.layouts.unlabeled import add_unlabeled, unlabeled_files
from delineate.data.layouts.unread import unread
from delineate.data.layouts.unused import unused
from delineate.data.layouts.zero_value import other_or_background

__all__ = ["VOLUMES", "Match", "discover", "find_volumes", "recognize", "to_manifest"]

VOLUMES = "volumes"
"""The layout of volumes with label volumes."""
_MOST_ARRAYS = 12
"""More .npy files than these are a file for each picture."""
_VOC_IMAGES, _VOC_MASKS = "jpegimages", "segmentationclass"
_OF_TOOLS = {_VOC_MASKS: "Pascal VOC", "labelstr": "nnU-Net", "labelsts": "nnU-Net", "ann_dir": "mmsegmentation"}
"""Folders of masks whose names tell whose layout it is."""
_ISIC_FOLDER = re.compile(r"_groundtruth$", re.IGNORECASE)


@dataclass
class Match:
    """What a folder was recognized as. `cases` are usable only if no finding is an error."""

    layout: str
    cases: list[Case]
    findings: list[Finding] = field(default_factory=list)
    split_origin: str = ""
    """'files' (lists), 'folders' or 'names'; empty when the data brings no split."""
    grouping: str = ""
    """How the cases' groups were found, in words."""
    root: Path = Path()
    """What the cases' paths are relative to: the folder, or one above it where the user named another."""
    channels: tuple[str, ...] = ()
    """Names of the channels, where each is a file of its own."""
    classes: ClassTable = field(default_factory=ClassTable)
    """With raw values, where the files of the data set itself say what these mean."""


def discover(
    folder: Path,
    images: str | None = None,
    masks: str | None = None,
    unmarked: Unmarked | None = None,
    codes: CodeTable | None = None,
) -> Manifest:
    """Recognize a folder's layout → its manifest, without hashes and label rule. Raises `DataError` on the first fault."""
    match = recognize(folder, images, masks, unmarked, codes)
    raise_errors(match.findings)
    return to_manifest(match)


def to_manifest(match: Match) -> Manifest:
    """A match as a manifest. Ids that cannot be names of files are changed."""
    ids = usable_names([case.id for case in match.cases])
    cases = tuple(case.model_copy(update={"id": name}) for case, name in zip(match.cases, ids, strict=True))
    notes = tuple(str(finding) for finding in match.findings if finding.severity != "error")
    return Manifest(
        root=str(match.root),
        layout=match.layout,
        split_origin=match.split_origin,
        grouping=match.grouping,
        classes=match.classes,
        channels=match.channels,
        cases=cases,
        notes=notes,
    )


def recognize(
    folder: Path,
    images: str | None = None,
    masks: str | None = None,
    unmarked: Unmarked | None = None,
    codes: CodeTable | None = None,
) -> Match:
    """What the folder holds, with all faults as findings.

    `images`, `masks`: the folders that hold them, where their names leave that open: a name inside `folder`, a path, or a pattern;
    `masks` also names files of outlines. `unmarked`: what images are on which such files mark nothing.
    `codes`: what tells the classes of DICOM masks by their codes; None: labels do.
    Raises `DataError` when the folder is missing, when nothing is recognized, and where two folders could be meant.
    """
    if packed_stem(folder) and folder.is_file():
        return _packed_file(folder.resolve(), images, masks)
    _check_folder(folder)
    tree = walk(folder.resolve())
    scanned = add_dicom(tree)
    if scanned is None:
        return _recognized(tree, images, masks, unmarked)
    return _with_dicom(tree, scanned, images, masks, codes)


def _with_dicom(tree: Tree, scanned: DicomSet, images: str | None, masks: str | None, codes: CodeTable | None) -> Match:
    """DICOM with masks, or what is there of it without; cases are numbered."""
    match = _with_dicom_masks(tree, scanned, images, masks, codes) or _with_other_masks(tree, scanned, images, masks)
    match.findings = [*scanned.findings, *match.findings]
    match.cases, words = scanned.numbered(match.root, match.cases)
    match.grouping = words or match.grouping
    return match


def _with_dicom_masks(
    tree: Tree, scanned: DicomSet, images: str | None, masks: str | None, codes: CodeTable | None
) -> Match | None:
    """Series whose masks are segmentations and structure sets; None where there are none, or others were named.

    Raises `DataError` where there are label volumes, too, and nobody says which are meant.
    """
    found = find_dicom_labels(tree, scanned, images, masks, codes)
    if found is None:
        return None
    if masks is None and (other := _other_masks(tree, scanned, images)):
        first = next(iter(scanned.masks)).relative_to(tree.root)
        raise DataError(
            f"{tree.root} holds DICOM masks ({first}, …) and other masks ({other}, …) of its series; say which are meant: --masks "
            "with their folder or a pattern of their names"
        )
    origin = "folders" if any(case.split for case in found.cases) else ""
    cases, origin, faults = _listed(tree, found.cases, origin)
    return Match(
        DICOM_MASKS, cases, [*tree.findings, *found.findings, *faults], origin, root=found.root, classes=found.classes
    )


def _other_masks(tree: Tree, scanned: DicomSet, images: str | None) -> str:
    """The first mask of a DICOM image that is a file of another format; '' where there is none."""
    if all(file.path in scanned.files for file in (*tree.images, *tree.volumes)):
        return ""
    try:
        match = _recognized(tree, images, None, None)
    except DataError:
        return ""
    return next((one.masks[0] for one in match.cases if one.masks and match.root / one.images[0] in scanned.files), "")


def _with_other_masks(tree: Tree, scanned: DicomSet, images: str | None, masks: str | None) -> Match:
    """Series with label volumes and pictures with masks, or what is there without."""
    scanned.leave_out_masks()
    try:
        match = _recognized(tree, images, masks, None)
        bare = scanned.without_mask(match.root, match.cases)
        if bare:  # other series of the same studies, as archives give them
            scanned.leave_out(tree, bare)
            match = _recognized(tree, images, masks, None)
    except DataError:
        if images or masks or any(file.path not in scanned.files for file in tree.images):
            raise
        if not scanned.files and any(one.severity == "error" for one in scanned.findings):
            return Match(LAYOUT, [], root=tree.root)  # with all that is wrong, such as a file that a gap comes from
        if not scanned.files:
            raise DataError(f"{tree.root} holds no image in DICOM: {'; '.join(map(str, scanned.findings))}") from None
        root = select(tree, None, None).root
        what = count(len(scanned.files), "image")
        text = f"{tree.root} holds {what} in DICOM, and no masks that belong to them"
        mend = (
            "put segmentations or structure sets of them into the folder, or label volumes beside them, called as the folder of "
            "the series, such as ct_mask.nii.gz; predict needs none"
        )
        match = Match(LAYOUT, scanned.cases(root), [*tree.findings, Finding("error", text, mend)], root=root)
    return match


def _recognized(tree: Tree, images: str | None, masks: str | None, unmarked: Unmarked | None) -> Match:
    """Raises `DataError` where nothing is recognized."""
    named = named_files(tree, masks)
    if named and (match := _annotated(tree, images, unmarked, named)) is not None:
        return match
    if named and named[0].suffix.lower() in (".json", ".geojson", ".xml"):
        raise DataError(
            f"--masks: {named[0]} holds no outlines that are read (of COCO, labelme, GeoJSON, CVAT, VIA, Label Studio or YOLO)"
        )
    if not tree.images or _names_volumes(tree, images, masks):
        match = _volumes(tree, images, masks)
        if match is not None:
            return match
    if not (images or masks) and (found := _array_files(tree)) is not None:
        return _complete(tree, _packed(found, tree.root), [])
    selection = select(tree, images, masks)
    match = _pairs(tree, tree.images, selection)
    if (match is None or not match.cases) and not masks:
        match = _annotated(tree, images, unmarked) or match
    if match is None and not selection.given:
        packed = find_packed(tree.root)
        if packed is not None:
            match = _complete(tree, _packed(packed, tree.root), unlabeled_files(tree.images))
        else:
            match = _volumes(tree, None, None)
    if match is None:
        raise unread(tree, selection)
    return match


def _packed(found: Found, root: Path) -> Match:
    return Match(found.layout, found.cases, found.findings, found.split_origin, root=root)


def _array_files(tree: Tree) -> Found | None:
    """The set that a folder of nothing but a few .npy files makes, where these hold many pictures each."""
    files = [file.path for file in tree.images]
    folders = {path.parent for path in files}
    if len(folders) != 1 or len(files) > _MOST_ARRAYS or any(path.suffix.lower() != ".npy" for path in files):
        return None
    return find_array_files(files, tree.root)


def _packed_file(path: Path, images: str | None, masks: str | None) -> Match:
    """A packed file that is given in place of a folder."""
    if images or masks:
        raise DataError(f"{path} holds images and masks as arrays, not as folders; leave out --images and --masks")
    found = find_packed(path.parent, [path])
    assert found is not None, "a file was given"
    match = _packed(found, path.parent)
    match.cases, match.grouping, faults = with_groups(match.cases)
    match.findings += faults
    return match


def find_volumes(folder: Path, images: str | None = None, masks: str | None = None) -> Match | None:
    """`recognize` for volumes alone, by the same words and rules as pictures; None where there are no images with labels.
    Images are not opened, so that a file of four axes is one image: who asks wants the labels."""
    return _volumes(walk(folder.resolve()), images, masks, opening=False)


def _volumes(tree: Tree, images: str | None, masks: str | None, opening: bool = True) -> Match | None:
    tree = replace(tree, volumes=[file for file in tree.volumes if reads_volume(file.path)])
    if not tree.volumes:
        return None
    return _pairs(tree, tree.volumes, select(tree, images, masks, volumes=True), opening)


def _names_volumes(tree: Tree, images: str | None, masks: str | None) -> bool:
    """Whether the folders that the user has named hold volumes, in a folder that holds pictures too."""
    try:
        return bool((images or masks) and tree.volumes and select(tree, images, masks, volumes=True).items)
    except DataError:
        return False


def _annotated(tree: Tree, images: str | None, unmarked: Unmarked | None, named: Sequence[Path] = ()) -> Match | None:
    """Images whose masks are outlines in files of labeling tools; None where there are none."""
    chosen = select(tree, images, None)
    bare = unlabeled_files(tree.images)
    files = [item.file for item in chosen.items] if images else [file for file in tree.images if file not in bare]
    found = find_annotated(tree, files, unmarked, named)
    if found is None:
        return None
    cases, origin, faults = _listed(tree, found.cases, found.split_origin)
    match = Match(found.layout, cases, [*found.findings, *faults], origin, root=tree.root, classes=found.classes)
    return _complete(tree, match, bare)


def _complete(tree: Tree, match: Match, bare: Sequence[File]) -> Match:
    """The match with the unlabeled cases, with groups, and with what the walk has found."""
    match.findings = [*tree.findings, *match.findings]
    match.cases, faults = add_unlabeled(match.root, bare, match.cases, match.channels)
    match.findings += faults
    match.cases, match.grouping, faults = with_groups(match.cases)
    match.findings += faults
    return match


def _pairs(tree: Tree, files: Sequence[File], selection: Selection, opening: bool = True) -> Match | None:
    """Images, pictures or volumes, with masks beside them or in folders of their own; None where there are no masks."""
    bare = unlabeled_files(files)
    other = _of_other_tasks(tree, files)
    left = set(bare) | selection.files | other
    items = selection.with_others(assign([file for file in files if file not in left]))
    if selection.classes:
        levels = split_levels([item.file for item in items])
        items = called_as_images(items, selection.classes, lambda item: split_of(item.file, levels))
    volumes, root = files is tree.volumes, selection.root
    by_case = find_case_folders(items, root) if volumes else None
    found = by_case or find_pictures(items, root)
    if found is None:
        return None
    if volumes and opening and not found.channels and not any(one.severity == "error" for one in found.findings):
        described = describe(tree.root)
        found.cases, found.channels, faults = with_frames(root, found.cases, described)
        found.findings += [*faults, *([] if described is None or faults else unlisted(described, found.cases))]
        if described is not None and len(described.channels) == 1:
            found.cases = [one.model_copy(update={"modality": described.channels[0]}) for one in found.cases]
    cases, origin, faults = _listed(tree, found.cases, found.split_origin)
    cases, origin, more = apply_division(tree.root, cases, origin)
    cases, origin, also = apply_meta(tree.root, cases, origin)
    findings = [*found.findings, *faults, *more, *also]
    if cases and not origin:
        cases, origin = found.split_by_name(cases)
    findings += unused(tree, found, [*bare, *other], volumes)
    if other:
        text = f"{count(len(other), 'image')} in no list of {VOC_LISTS} and without mask, not used"
        findings.append(Finding("note", text))
    classes = selection.classes or found.classes
    if classes and not any(finding.severity == "error" for finding in findings):
        match = Match("", cases, findings, origin, root=root, channels=found.channels)
        return _with_asides(tree, _by_class(tree, match, classes, bare, called=not selection.classes))
    if not volumes and not any(finding.severity == "error" for finding in findings):
        findings += other_or_background(root, cases)
        findings += check_alike(root, cases, found, items)
    layout = CASE_FOLDERS if by_case else VOLUMES if volumes else _layout(found)
    match = Match(layout, cases, findings, origin, root=root, channels=found.channels)
    return _with_asides(tree, _complete(tree, match, bare))


def _with_asides(tree: Tree, match: Match) -> Match:
    match.findings += told_aside(tree, bool(match.split_origin), bool(match.grouping))
    return match


def _of_other_tasks(tree: Tree, files: Sequence[File]) -> set[File]:
    """Images of Pascal VOC that are in no list and have no mask: those of its other tasks."""
    images = {file.stem for file in files if file.parts and file.parts[-1].lower() == _VOC_IMAGES}
    masked = {file.stem for file in files if file.parts and file.parts[-1].lower() == _VOC_MASKS}
    out = left_out_by_voc(tree.root, images) - masked if images and masked else set()
    return {file for file in files if file.parts and file.parts[-1].lower() == _VOC_IMAGES and file.stem in out}


def _listed(tree: Tree, cases: list[Case], origin: str) -> tuple[list[Case], str, list[Finding]]:
    """The cases with the splits of lists beside them, where nothing else divides them; and where the splits come from then."""
    if len({case.split for case in cases}) == 1 and has_lists(tree.root):
        origin = ""  # one folder called `train` around all cases divides nothing; the lists do
        cases = [case.model_copy(update={"split": None}) for case in cases]
    if cases and not origin:
        cases, findings = apply_lists(tree.root, cases)
        return cases, "files" if any(case.split and case.masks for case in cases) else "", findings
    if origin and (lists := has_lists(tree.root)):
        return cases, origin, [Finding("warning", f"{some(lists)} not used: the splits are those of the {origin}")]
    return cases, origin, []


def _by_class(tree: Tree, match: Match, classes: Mapping[Path, str], bare: Sequence[File], called: bool) -> Match:
    """The match with the masks of each class as the classes of one mask. `called`: whether the masks' own names say the classes."""
    merged = "several masks, which are merged"
    match.layout = CLASS_FOLDERS
    origin = "names of the masks" if called else "--masks"
    match.cases, match.classes, faults = with_classes(match.root, match.cases, classes, origin)
    match.findings = [finding for finding in match.findings if merged not in finding.text] + faults
    if called:
        names = list(dict.fromkeys(classes.values()))
        text = f"{len(names)} masks in a folder of each case are read as classes in the order of their names: {some(names)}"
        cure = f"to take some of them, or another order: --masks {quoted(f'{names[0]}={next(iter(classes)).name}')},…"
        match.findings.append(Finding("note", text, cure))
    return _complete(tree, match, bare)


def _layout(found: Pictures) -> str:
    folders = {item.folder.lower() for item in found.masks}
    tools = {_OF_TOOLS.get(folder, "") for folder in folders}
    if len(tools) == 1 and (name := tools.pop()):
        return name
    if found.split_origin == "folders" and not any(_ISIC_FOLDER.search(item.folder) for item in found.masks):
        return "split folders"
    sources = {item.source.lower() for item in found.masks}
    if any(_ISIC_FOLDER.search(item.folder) for item in found.masks):
        return "ISIC folders"
    if sources == {"*_segmentation"}:
        return "ISIC names"
    if sources == {"*_mask"}:
        return "BUSI names"
    if all("*" in source for source in sources):
        return "masks beside images"
    return "images and masks"


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        near = [path.name for path in sorted(folder.parent.iterdir())] if folder.parent.is_dir() else []
        hint = f"; {folder.parent} has {some(near)}" if near else ""
        raise DataError(f"there is no folder {folder}{hint}")
    if printable(folder.resolve()) != str(folder.resolve()):
        raise DataError(
            f"the path {printable(folder.resolve())} is not UTF-8; rename the folder: manifests are written in UTF-8"
        )
    if is_unread_archive(folder) and folder.is_file():
        raise DataError(
            f"{folder} is an archive of a kind that is not read; unpack it and give the folder, or pack it as .zip"
        )
    if folder.is_file() and is_dicom(folder):
        raise DataError(f"{folder} is a DICOM file; give the folder that holds its series and their masks")
    if not folder.is_dir():
        raise DataError(
            f"{folder} is a file; give the folder that holds images and masks, a manifest.json or a CSV file"
        )
