"""COCO's JSON beside its images, as COCO itself, CVAT, Roboflow, Label Studio and others lay them out.

annotations.json, images/
annotations/instances_train2017.json, annotations/instances_val2017.json, train2017/, val2017/
train/_annotations.coco.json, valid/_annotations.coco.json, with the images beside them
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.label_table import BACKGROUND, classes_of
from delineate.data.core.manifest import ClassTable
from delineate.data.core.manifest import Split as SplitName
from delineate.data.core.words import folder_word
from delineate.data.formats.annotations.address import AnnotationAddress
from delineate.data.formats.annotations.coco import (
    KIND,
    Category,
    CocoFile,
    NotCocoError,
    Picture,
    coco_drawing,
    read_coco,
)
from delineate.data.formats.annotations.drawing import Drawing
from delineate.data.layouts.annotations.found import (
    RULE,
    AnnotatedSet,
    Labeled,
    Unmarked,
    cases_of,
    inner_parts,
    outside,
    overlaps,
    unused_images,
)
from delineate.data.layouts.annotations.pictures import Pictures, split_in
from delineate.data.layouts.tree import File

__all__ = ["LAYOUT", "coco_files", "find_coco"]

LAYOUT = "COCO outlines"
_SECONDARY = ("keypoints", "panoptic", "captions", "stuff")
"""Files of COCO's own sets that say the same images' marks again, or something else of them."""


@dataclass(frozen=True)
class _Listed:
    """An image of the folder, and the entry of a file that is of it."""

    image: File
    file: CocoFile
    picture: Picture


def coco_files(paths: Sequence[Path]) -> list[CocoFile]:
    """The COCO files among JSON files. Raises `DataError` for one that is wrong."""
    found = []
    for path in paths:
        try:
            content = path.read_bytes()  # a look at the bytes costs less than parsing
            if b'"images"' in content and (b'"annotations"' in content or b'"categories"' in content):
                found.append(read_coco(path))
        except (OSError, NotCocoError):
            continue
    return found


def find_coco(root: Path, files: Sequence[CocoFile], images: Sequence[File], unmarked: Unmarked | None) -> AnnotatedSet:
    """The cases of COCO files. Raises `DataError` where they hold no outlines, and where two contradict each other.

    Images on which a file marks nothing are background, as in COCO itself. A file without any mark is a test set without its
    labels, and not used.
    """
    files, findings = _with_outlines(root, files)
    classes, shift, notes = _classes(root, files)
    listed, faults = _found(root, files, Pictures(images))
    findings += notes + faults
    listed, faults = _once(root, listed)
    findings += faults
    blank = [file for file in files if not (file.marks or (unmarked and file.annotated))]
    for file in blank:
        text = f"{file.path.relative_to(root)} marks nothing: its {count(len(file.pictures), 'image')} not used"
        findings.append(Finding("note", text))
    findings += unused_images(root, images, [one.image.path for one in listed], "in no file of outlines")
    listed = [one for one in listed if one.file not in blank]
    found = [
        Labeled(
            one.image,
            str(_address(one, root, shift)),
            _split(one.file.path.relative_to(root)) or split_in(one.image.parts),
            None if one.file.marks.get(one.picture.id) else "background",
        )
        for one in listed
    ]
    cases, notes = cases_of(found, root, unmarked)
    drawings = [(one.image.stem, _drawing(one)) for one in listed]
    findings += notes + outside(drawings) + inner_parts(drawings) + overlaps(drawings)
    findings.insert(0, _read_as(root, files, listed))
    listing = any(_split(file.path.relative_to(root)) for file in files)
    origin = "files" if listing else "folders"
    return AnnotatedSet(LAYOUT, cases, findings, origin if any(case.split for case in cases) else "", classes)


def _address(one: _Listed, root: Path, shift: int) -> AnnotationAddress:
    words = (one.picture.id, str(shift)) if shift else (one.picture.id,)
    return AnnotationAddress(one.file.path.relative_to(root), KIND, words)


def _with_outlines(root: Path, files: Sequence[CocoFile]) -> tuple[list[CocoFile], list[Finding]]:
    """The files that hold outlines, or just list images. Raises `DataError` for boxes, which are no masks."""
    findings = []
    kept = []
    for file in files:
        if file.boxes:
            number = len(file.boxes) + sum(map(len, file.marks.values()))
            raise DataError(
                f"{file.path}: {len(file.boxes)} of {count(number, 'annotation')} are boxes without outline (id "
                f"{some(file.boxes, 3)}); a box marks no shape: draw their outlines, or remove them"
            )
        if file.others and not file.marks:
            findings.append(Finding("note", f"{file.path.relative_to(root)} holds no outlines and is not used"))
            continue
        kept.append(file)
    if not any(file.marks for file in kept):
        raise DataError(
            f"{some([str(file.path) for file in files], 3)}: there is no outline in it; give the file that has them"
        )
    main = [file for file in kept if not any(word in file.path.stem.lower() for word in _SECONDARY)]
    if main and len(main) < len(kept) and any(file.marks for file in main):
        names = some([file.path.name for file in kept if file not in main], 3)
        findings.append(Finding("note", f"{names} not used: {main[0].path.name} holds the outlines of the objects"))
        return main, findings
    return kept, findings


def _classes(root: Path, files: Sequence[CocoFile]) -> tuple[ClassTable, int, list[Finding]]:
    """The class table, and what is added to an id so that no class has the value of the background."""
    known: dict[int, tuple[Category, CocoFile]] = {}
    for file in files:
        for one in file.categories:
            other, first = known.setdefault(one.id, (one, file))
            if other.name != one.name:
                raise DataError(
                    f"the category {one.id} is '{other.name}' in {first.path.relative_to(root)} but '{one.name}' in "
                    f"{file.path.relative_to(root)}; give both files the same categories, or take one of them with --masks"
                )
    used = {value for file in files for value in file.used}
    above = {category.above for category, _ in known.values()}
    findings = []
    idle = [one for one, _ in known.values() if one.id not in used and one.name in above and len(known) > 1]
    idle = [one for one in idle if any(other.above == one.name and other.id != one.id for other, _ in known.values())]
    if idle:
        text = f"{some([one.name for one in idle])}: a supercategory that nothing is of, and no class"
        findings.append(Finding("note", text))
    kept = [one for one, _ in known.values() if one not in idle]
    shift = int(any(one.id == 0 and one.name.lower() != BACKGROUND for one in kept))
    twice = sorted({one.name for one in kept if sum(other.name == one.name for other in kept) > 1})
    if twice:
        text = f"{count(len(twice), 'name')} of several categories, read as one class each: {some(twice)}"
        findings.append(Finding("note", text))
    names = some(list(dict.fromkeys(file.path.name for file in files)), 3)
    return classes_of([(one.name, one.id + shift) for one in kept], names), shift, findings


def _found(root: Path, files: Sequence[CocoFile], pictures: Pictures) -> tuple[list[_Listed], list[Finding]]:
    """The images that the files list, as they lie in the folder; errors for those that do not, or cannot be told apart."""
    listed = []
    lost: dict[Path, list[str]] = defaultdict(list)
    unclear: list[str] = []
    for file in files:
        split = _split(file.path.relative_to(root))
        for picture in file.pictures.values():
            found = pictures.called(picture.file, file.path.parent, split)
            if len(found) == 1:
                listed.append(_Listed(found[0], file, picture))
            elif not found and file.marks:
                lost[file.path].append(picture.file)
            elif found:
                unclear.append(" or ".join(one.path.relative_to(root).as_posix() for one in found[:3]))
    findings = []
    for path, names in lost.items():
        there = "is" if len(names) == 1 else "are"
        text = f"{path} lists {count(len(names), 'image')} that {there} not in {root}: {some(names, 3)}"
        findings.append(Finding("error", text, "add the images, or remove them from the file"))
    if unclear:
        text = f"{count(len(unclear), 'image')} of the list may be several files: {some(unclear, 3)}"
        findings.append(Finding("error", text, "write their folders into file_name"))
    return listed, findings


def _once(root: Path, listed: Sequence[_Listed]) -> tuple[list[_Listed], list[Finding]]:
    """Each image once. What two entries say alike is taken from the one whose file names a split; two that differ are an error."""
    by_image: dict[Path, list[_Listed]] = defaultdict(list)
    for one in listed:
        by_image[one.image.path].append(one)
    splits = {one.file.path: _split(one.file.path.relative_to(root)) for one in listed}
    kept = []
    twice = []
    for members in by_image.values():
        members = [one for one in members if one.file.marks] or members
        members.sort(key=lambda one: splits[one.file.path] is None)
        kept.append(members[0])
        if len(members) == 1:
            continue
        marks = {_drawing(one).digest() for one in members}
        if len(marks) > 1 or len({splits[one.file.path] for one in members} - {None}) > 1:
            twice.append(members)
    if not twice:
        return kept, []
    first = twice[0]
    paths = list(dict.fromkeys(one.file.path.relative_to(root).as_posix() for one in first))
    where = f"twice in {paths[0]}" if len(paths) == 1 else f"in {' and in '.join(paths)}"
    mend = "keep one entry" if len(paths) == 1 else f"say which holds, such as --masks {paths[0]}"
    text = f"{count(len(twice), 'image is', 'images are')} listed {where}, such as {first[0].picture.file}"
    return kept, [Finding("error", text, mend)]


def _drawing(one: _Listed) -> Drawing:
    return coco_drawing(AnnotationAddress(one.file.path, KIND, (one.picture.id,)))


def _split(path: Path) -> SplitName | None:
    return folder_word(path.stem).split or split_in(path.parts[:-1])


def _read_as(root: Path, files: Sequence[CocoFile], listed: Sequence[_Listed]) -> Finding:
    objects = sum(len(one.file.marks.get(one.picture.id, ())) for one in listed)
    names = some([str(file.path.relative_to(root)) for file in files], 3)
    text = f"{names}: {count(objects, 'outline')} drawn as masks ({RULE})"
    crowds, flat = sum(file.crowds for file in files), sum(file.flat for file in files)
    text += f"; {count(crowds, 'crowd')} drawn as objects of their class, below the others" if crowds else ""
    text += f"; {count(flat, 'outline has', 'outlines have')} fewer than three corners and no area" if flat else ""
    return Finding("note", text)
