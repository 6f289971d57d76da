"""Files of shapes that have the names of their classes: labelme's (one for each image, beside it or in a folder of their own), and
those of CVAT, the VGG Image Annotator and Label Studio (one for all images)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.label_table import BACKGROUND, IGNORED, classes_of
from delineate.data.core.manifest import IGNORE
from delineate.data.core.words import folder_word, normal
from delineate.data.formats.annotations import cvat, label_studio, labelme, via
from delineate.data.formats.annotations.address import NOTHING, AnnotationAddress, size_word
from delineate.data.formats.annotations.parsed import read_json_file
from delineate.data.formats.annotations.shapes import ShapesOf
from delineate.data.formats.registry import open_image
from delineate.data.layouts.annotations.found import (
    RULE,
    AnnotatedSet,
    Labeled,
    Unmarked,
    cases_of,
    outside,
    overlaps,
    unused_images,
)
from delineate.data.layouts.annotations.pictures import Pictures, split_in
from delineate.data.layouts.tree import File

__all__ = ["Values", "files_of_shapes", "find_shapes"]

_TOOLS = {
    labelme.KIND: "labelme",
    cvat.KIND: "CVAT",
    via.KIND: "VGG Image Annotator",
    label_studio.KIND: "Label Studio",
}
_SPECIAL = {"_background_": 0, BACKGROUND: 0, "__ignore__": IGNORE, IGNORED: IGNORE}
"""Names that are no classes."""

_NUMBER = re.compile(r"(?P<base>.*[^\W\d_])[-_ ]?\d+")

Values = dict[str, int]


@dataclass(frozen=True)
class _Read:
    """What a file says of an image, and the image."""

    shapes: ShapesOf
    image: File


def files_of_shapes(paths: Sequence[Path]) -> list[ShapesOf]:
    """What those of the files say that are of the first kind found. Raises `DataError` for one of them that is wrong."""
    jsons = [path for path in paths if path.suffix.lower() == ".json"]
    beside = [path for path in jsons if _holds(path, b'"shapes"')]
    if beside:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(labelme.parse_labelme, beside))
    for path in paths:
        if path.suffix.lower() == ".xml" and cvat.looks_like_cvat(_first_bytes(path)):
            return cvat.read_cvat(path)
    for path in jsons:
        if _holds(path, b'"regions"') and via.looks_like_via(read_json_file(path)):
            return via.read_via(path)
        if _holds(path, b'"annotations"') and label_studio.looks_like_label_studio(read_json_file(path)):
            return label_studio.read_label_studio(path)
    return []


def find_shapes(
    root: Path, entries: Sequence[ShapesOf], images: Sequence[File], unmarked: Unmarked | None
) -> AnnotatedSet:
    """The cases of such files. Raises `DataError` for names of classes that cannot be used.

    labelme writes a file when somebody saves an image. So an image without a file is not labeled yet, and one whose file has no
    shapes is background. The other tools list all images that they were given; one without shapes is background, too.
    """
    tool = _TOOLS[entries[0].kind]
    values = _values(entries)
    names = {name: IGNORED if value == IGNORE else BACKGROUND if value == 0 else name for name, value in values.items()}
    classes = classes_of([(names[name], value) for name, value in values.items()], tool)
    read, findings = _with_images(root, tool, entries, images)
    used = {one.image.path for one in read}
    found = [_labeled(root, one, values) for one in read]
    if entries[0].kind == labelme.KIND:
        found += [_unlabeled(root, file) for file in images if file.path not in used]
    else:
        findings += unused_images(root, images, used, f"in no file of {tool}")
    cases, notes = cases_of(found, root, unmarked)
    findings += notes + _without_area(root, entries) + _numbered(values)
    drawings = [(one.image.stem, one.shapes.drawn(values)) for one in read if one.shapes.size]
    findings += outside(drawings) + overlaps(drawings)
    findings.insert(0, _read_as(tool, entries))
    origin = "files" if any(entry.split for entry in entries) else "folders"
    return AnnotatedSet(
        f"{tool} outlines", cases, findings, origin if any(case.split for case in cases) else "", classes
    )


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(4096)
    except OSError:
        return b""


def _holds(path: Path, word: bytes) -> bool:
    """Whether a word is in a file: a look at its bytes, which costs less than parsing."""
    try:
        return word in path.read_bytes()
    except OSError:
        return False


def _values(entries: Sequence[ShapesOf]) -> Values:
    """Name → value, for all names of shapes that mark an area: from 1 on, in the order of the alphabet."""
    names = {shape.name for entry in entries for shape in entry.shapes if shape.segment is not None}
    plain = sorted((name for name in names if name.lower() not in _SPECIAL), key=lambda name: (name.casefold(), name))
    return {name: at for at, name in enumerate(plain, start=1)} | {
        name: _SPECIAL[name.lower()] for name in sorted(names) if name.lower() in _SPECIAL
    }


def _with_images(
    root: Path, tool: str, entries: Sequence[ShapesOf], images: Sequence[File]
) -> tuple[list[_Read], list[Finding]]:
    """The entries with their images; errors for those that have none, or share one."""
    pictures = Pictures(images)
    beside = {(file.path.parent, file.stem): file for file in images}
    read = []
    lost = []
    for entry in entries:
        image = _image_of(entry, pictures, beside)
        if image is None:
            lost.append(f"{entry.image or entry.path.stem} ({entry.path.relative_to(root).as_posix()})")
        else:
            read.append(_Read(entry, image))
    findings = []
    if lost:
        text = f"{count(len(lost), 'image')} of {tool} that {'is' if len(lost) == 1 else 'are'} not in {root}: {some(lost, 3)}"
        findings.append(Finding("error", text, "add the images, or remove what the files say of them"))
    by_image: dict[Path, list[_Read]] = defaultdict(list)
    for one in read:
        by_image[one.image.path].append(one)
    twice = [members for members in by_image.values() if len(members) > 1]
    if twice:
        both = " and ".join(_where(root, one.shapes) for one in twice[0])
        text = f"{count(len(twice), 'image has', 'images have')} outlines in several places, such as {both}"
        findings.append(Finding("error", text, "keep one"))
    return read, findings


def _where(root: Path, entry: ShapesOf) -> str:
    path = entry.path.relative_to(root).as_posix()
    return f"{entry.key} in {path}" if entry.key else path


def _image_of(entry: ShapesOf, pictures: Pictures, beside: dict[tuple[Path, str], File]) -> File | None:
    """The image that is named, or that has the file's name; else the one inside of it."""
    split = folder_word(entry.split).split
    found = pictures.called(entry.image, entry.path.parent, split) if entry.image else []
    near = None if entry.key else beside.get((entry.path.parent, normal(entry.path.stem)))
    if len(found) == 1:
        return found[0]
    if near is not None or not entry.embedded:
        return near
    address = AnnotationAddress(entry.path, labelme.EMBEDDED)
    return File(Path(str(address)), (), normal(entry.path.stem))


def _labeled(root: Path, one: _Read, values: Values) -> Labeled:
    size = None if one.shapes.size else open_image(one.image.path).shape
    mask = one.shapes.address(root, values, None if size is None else (size[0], size[1]))
    presumed: Unmarked = "background" if one.shapes.seen else "unlabeled"
    split = folder_word(one.shapes.split).split or split_in(one.image.parts)
    return Labeled(one.image, str(mask), split, None if one.shapes.marked else presumed)


def _unlabeled(root: Path, image: File) -> Labeled:
    """An image without a file: the address is of an empty mask, which is read only where the user says background."""
    size = open_image(image.path).shape
    address = AnnotationAddress(
        image.path.with_suffix(".json").relative_to(root), NOTHING, (size_word((size[0], size[1])),)
    )
    return Labeled(image, str(address), split_in(image.parts), "unlabeled")


def _without_area(root: Path, files: Sequence[ShapesOf]) -> list[Finding]:
    kinds = Counter(shape.kind for file in files for shape in file.shapes if shape.segment is None)
    if not kinds:
        return []
    first = next(file for file in files if any(shape.segment is None for shape in file.shapes))
    what = some([f"{number} {kind}" for kind, number in kinds.most_common()])
    text = f"shapes that mark no area are not used: {what} (first in {first.path.relative_to(root)})"
    return [Finding("warning", text, "draw them as polygons if they matter")]


def _numbered(values: Values) -> list[Finding]:
    """A warning where names differ in a number at their end alone, as those of single objects do: each is a class of its own."""
    bases: dict[str, list[str]] = defaultdict(list)
    for name in values:
        if match := _NUMBER.match(name):
            bases[match["base"]].append(name)
    alike = [(base, names) for base, names in bases.items() if len(names) > 1]
    if not alike:
        return []
    base, names = alike[0]
    joined = ",".join(f"{values[name]}={base}" for name in names)
    text = f"names that differ in a number at their end are classes of their own: {some(names, 4)}"
    return [
        Finding("warning", text, f"if they are objects of one class, --labels {joined} (and the others) joins them")
    ]


def _read_as(tool: str, files: Sequence[ShapesOf]) -> Finding:
    shapes = sum(shape.segment is not None for file in files for shape in file.shapes)
    paths = list(dict.fromkeys(file.path for file in files))
    what = f"{count(len(paths), 'file')} of {tool}" if len(paths) > 1 else f"{paths[0].name} of {tool}"
    text = f"{what}: {count(shapes, 'shape')} drawn as masks ({RULE})"
    return Finding("note", text)
