"""Files of shapes that have the names of their classes: labelme's and GeoJSON (one for each image, beside it or in a folder of its
own), and those of CVAT, the VGG Image Annotator and Label Studio (one for all images)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.label_table import BACKGROUND, IGNORED, classes_of
from delineate.data.core.manifest import IGNORE
from delineate.data.core.words import folder_word, normal
from delineate.data.formats.annotations import cvat, geojson, label_studio, labelme, via
from delineate.data.formats.annotations.address import NOTHING, AnnotationAddress, size_word
from delineate.data.formats.annotations.outlines import Size
from delineate.data.formats.annotations.parsed import read_json_file
from delineate.data.formats.annotations.shapes import ShapesOf
from delineate.data.formats.contract import ANY_SIZE
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
    geojson.KIND: "GeoJSON",
    cvat.KIND: "CVAT",
    via.KIND: "VGG Image Annotator",
    label_studio.KIND: "Label Studio",
}
_FILE_EACH = (labelme.KIND, geojson.KIND)
"""Kinds of which each image has a file of its own."""
_SPECIAL = {"_background_": 0, BACKGROUND: 0, "__ignore__": IGNORE, IGNORED: IGNORE, geojson.IGNORED_CLASS: IGNORE}
"""Names that are no classes."""

_NUMBER = re.compile(r"(?P<base>.*[^\W\d_])[-_ ]?\d+")

Values = dict[str, int]


@dataclass(frozen=True)
class _Read:
    """What a file says of an image, and the image."""

    shapes: ShapesOf
    image: File
    size: Size
    """Of the image: as the file tells it, else as the image itself does."""


def files_of_shapes(paths: Sequence[Path]) -> list[ShapesOf]:
    """What those of the files say that are of the first kind found. Raises `DataError` for one of them that is wrong."""
    jsons = [path for path in paths if path.suffix.lower() in (".json", ".geojson")]
    if beside := [path for path in jsons if _holds(path, b'"shapes"')]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(labelme.parse_labelme, beside))
    if beside := [path for path in jsons if _is_geojson(path)]:
        return _classified([geojson.read_geojson(path) for path in beside])
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

    labelme and QuPath write a file when somebody saves an image. So an image without a file is not labeled yet, and one whose file
    has no shapes is background. The other tools list all images that they were given; one without shapes is background, too.
    """
    tool = _TOOLS[entries[0].kind]
    values = _values(entries)
    names = {name: IGNORED if value == IGNORE else BACKGROUND if value == 0 else name for name, value in values.items()}
    classes = classes_of([(names[name], value) for name, value in values.items()], tool)
    read, findings = _with_images(root, tool, entries, images)
    used = {one.image.path for one in read}
    found = [_labeled(root, one, values) for one in read]
    if entries[0].kind in _FILE_EACH:
        found += [_unlabeled(root, file) for file in images if file.path not in used]
    else:
        findings += unused_images(root, images, used, f"in no file of {tool}")
    cases, notes = cases_of(found, root, unmarked)
    findings += notes + _without_area(root, entries) + _numbered(values)
    drawings = [(one.image.stem, one.shapes.drawn(values, one.size)) for one in read]
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


def _is_geojson(path: Path) -> bool:
    """A file of that name, or another JSON with features."""
    if path.suffix.lower() == ".geojson":
        return True
    return _holds(path, b'"Feature"') and geojson.looks_like_geojson(read_json_file(path))


def _classified(entries: list[ShapesOf]) -> list[ShapesOf]:
    """The entries; raises `DataError` where some shapes have a class and others have none."""
    of_name: dict[bool, ShapesOf] = {}
    for entry in entries:
        for shape in entry.shapes:
            if shape.segment is not None:
                of_name.setdefault(shape.name == geojson.UNCLASSIFIED, entry)
    if len(of_name) > 1:
        raise DataError(
            f"{of_name[True].path} has annotations without a class, and there are others that have one "
            f"({of_name[False].path.name}): give each a class, or remove it"
        )
    return entries


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
    """The entries with their images; errors for those that have none, could have several, or share one."""
    pictures = Pictures(images)
    read, lost, unclear = [], [], []
    for entry in entries:
        found = _images_of(entry, pictures)
        where = f"{entry.image or entry.path.stem} ({entry.path.relative_to(root).as_posix()})"
        if len(found) == 1:
            read.append(_Read(entry, found[0], entry.size or _size_of(found[0])))
        elif found:
            unclear.append(f"{where}: {some([file.path.relative_to(root).as_posix() for file in found])}")
        else:
            lost.append(where)
    findings = []
    if lost:
        text = f"{count(len(lost), 'image')} of {tool} that {'is' if len(lost) == 1 else 'are'} not in {root}: {some(lost, 3)}"
        findings.append(Finding("error", text, "add the images, or remove what the files say of them"))
    if unclear:
        text = f"{count(len(unclear), 'image')} of {tool} that could be several files of {root}, such as {unclear[0]}"
        findings.append(Finding("error", text, "keep one of them, or name the images with --images"))
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


def _images_of(entry: ShapesOf, pictures: Pictures) -> list[File]:
    """The image that is named, or that has the file's name beside it, or that is inside of the file. GeoJSON names no image."""
    if entry.kind == geojson.KIND:
        return pictures.alike(entry.path)
    split = folder_word(entry.split).split
    found = pictures.called(entry.image, entry.path.parent, split) if entry.image else []
    if len(found) == 1 or entry.key:
        return found
    near = [one for one in pictures.alike(entry.path) if one.path.parent == entry.path.parent]
    if near or not entry.embedded:
        return near or found
    address = AnnotationAddress(entry.path, labelme.EMBEDDED)
    return [File(Path(str(address)), (), normal(entry.path.stem))]


def _labeled(root: Path, one: _Read, values: Values) -> Labeled:
    mask = one.shapes.address(root, values, one.size)
    presumed: Unmarked = "background" if one.shapes.seen else "unlabeled"
    split = folder_word(one.shapes.split).split or split_in(one.image.parts)
    return Labeled(one.image, str(mask), split, None if one.shapes.marked else presumed)


def _unlabeled(root: Path, image: File) -> Labeled:
    """An image without a file: the address is of an empty mask, which is read only where the user says background."""
    address = AnnotationAddress(
        image.path.with_suffix(".json").relative_to(root), NOTHING, (size_word(_size_of(image)),)
    )
    return Labeled(image, str(address), split_in(image.parts), "unlabeled")


def _size_of(image: File) -> Size:
    height, width, *_ = open_image(image.path, max_pixels=ANY_SIZE).shape
    return height, width


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
