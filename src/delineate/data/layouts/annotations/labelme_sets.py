"""labelme's JSON files, one beside each image or in a folder of their own (`images/a.png`, `labels/a.json`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.label_table import BACKGROUND, IGNORED, classes_of
from delineate.data.core.manifest import IGNORE
from delineate.data.core.words import normal
from delineate.data.formats.annotations.address import NOTHING, AnnotationAddress, size_word
from delineate.data.formats.annotations.labelme import EMBEDDED, KIND, LabelmeFile, drawn, parse_labelme
from delineate.data.formats.registry import open_image
from delineate.data.layouts.annotations.found import RULE, AnnotatedSet, Labeled, Unmarked, cases_of, overlaps
from delineate.data.layouts.annotations.pictures import Pictures, split_in
from delineate.data.layouts.tree import File

LAYOUT = "labelme outlines"
_SPECIAL = {"_background_": 0, BACKGROUND: 0, "__ignore__": IGNORE, IGNORED: IGNORE}
"""Names that are no classes."""

Values = dict[str, int]


@dataclass(frozen=True)
class _Read:
    """A file with the image that it is of."""

    file: LabelmeFile
    image: File


def is_labelme(path: Path) -> bool:
    """Whether a JSON file may be labelme's: a look at its bytes, which costs less than parsing."""
    try:
        return b'"shapes"' in path.read_bytes()
    except OSError:
        return False


def find_labelme(root: Path, paths: Sequence[Path], images: Sequence[File], unmarked: Unmarked | None) -> AnnotatedSet:
    """The cases of labelme files. Raises `DataError` for one that cannot be read.

    labelme writes a file when somebody saves an image. So an image without a file is not labeled yet, and one whose file has no
    shapes is background.
    """
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(parse_labelme, paths))
    values = _values(files)
    names = {
        name: "ignore" if value == IGNORE else BACKGROUND if value == 0 else name for name, value in values.items()
    }
    classes = classes_of([(names[name], value) for name, value in values.items()], "labelme")
    read, findings = _with_images(root, files, images)
    used = {one.image.path for one in read}
    bare = [file for file in images if file.path not in used]
    found = [*(_labeled(root, one, values) for one in read), *(_unlabeled(root, file) for file in bare)]
    cases, notes = cases_of(found, root, unmarked)
    findings += notes + _without_area(root, files)
    findings += overlaps((one.image.stem, drawn(one.file, values)) for one in read if one.file.size)
    findings.insert(0, _read_as(files))
    return AnnotatedSet(LAYOUT, cases, findings, "folders" if any(case.split for case in cases) else "", classes)


def _values(files: Sequence[LabelmeFile]) -> Values:
    """Name → value, for all names of shapes that mark an area: from 1 on, in the order of the alphabet."""
    names = {shape.name for file in files for shape in file.shapes if shape.segment is not None}
    plain = sorted((name for name in names if name.lower() not in _SPECIAL), key=lambda name: (name.casefold(), name))
    return {name: at for at, name in enumerate(plain, start=1)} | {
        name: _SPECIAL[name.lower()] for name in sorted(names) if name.lower() in _SPECIAL
    }


def _with_images(root: Path, files: Sequence[LabelmeFile], images: Sequence[File]) -> tuple[list[_Read], list[Finding]]:
    """The files with their images; errors for those that have none, or share one."""
    pictures = Pictures(images)
    beside = {(file.path.parent, file.stem): file for file in images}
    read = []
    lost = []
    for file in files:
        image = _image_of(file, pictures, beside)
        if image is None:
            lost.append(file.path.relative_to(root).as_posix())
        else:
            read.append(_Read(file, image))
    findings = []
    if lost:
        text = f"{count(len(lost), 'file')} of labelme without an image in {root}: {some(lost, 3)}"
        findings.append(Finding("error", text, "add the images, with the names of the files, or remove the files"))
    by_image: dict[Path, list[_Read]] = defaultdict(list)
    for one in read:
        by_image[one.image.path].append(one)
    twice = [members for members in by_image.values() if len(members) > 1]
    if twice:
        both = " and ".join(one.file.path.relative_to(root).as_posix() for one in twice[0])
        text = f"{count(len(twice), 'image has', 'images have')} several files of outlines, such as {both}"
        findings.append(Finding("error", text, "keep one"))
    return read, findings


def _image_of(file: LabelmeFile, pictures: Pictures, beside: dict[tuple[Path, str], File]) -> File | None:
    """The image that the file names, or that has its name; else the one inside of it."""
    found = pictures.called(file.image, file.path.parent) if file.image else []
    near = beside.get((file.path.parent, normal(file.path.stem)))
    if len(found) == 1:
        return found[0]
    if near is not None or not file.embedded:
        return near
    address = AnnotationAddress(file.path, EMBEDDED)
    return File(Path(str(address)), (), normal(file.path.stem))


def _labeled(root: Path, one: _Read, values: Values) -> Labeled:
    marked = any(shape.segment is not None for shape in one.file.shapes)
    mask = str(_address(root, one, values))
    return Labeled(one.image, mask, split_in(one.image.parts), None if marked else "background")


def _unlabeled(root: Path, image: File) -> Labeled:
    """An image without a file: the address is of an empty mask, which is read only where the user says background."""
    size = open_image(image.path).shape
    address = AnnotationAddress(
        image.path.with_suffix(".json").relative_to(root), NOTHING, (size_word((size[0], size[1])),)
    )
    return Labeled(image, str(address), split_in(image.parts), "unlabeled")


def _address(root: Path, one: _Read, values: Values) -> AnnotationAddress:
    """With the names that the file has, and the image's size where the file does not tell it."""
    names = sorted({shape.name for shape in one.file.shapes if shape.name in values})
    words = () if one.file.size else (size_word(open_image(one.image.path).shape[:2]),)  # type: ignore[arg-type]
    return AnnotationAddress(
        one.file.path.relative_to(root), KIND, words, tuple((name, values[name]) for name in names)
    )


def _without_area(root: Path, files: Sequence[LabelmeFile]) -> list[Finding]:
    kinds = Counter(shape.kind for file in files for shape in file.shapes if shape.segment is None)
    if not kinds:
        return []
    first = next(file for file in files if any(shape.segment is None for shape in file.shapes))
    what = some([f"{number} {kind}" for kind, number in kinds.most_common()])
    text = f"shapes that mark no area are not used: {what} (first in {first.path.relative_to(root)})"
    return [Finding("warning", text, "draw them as polygons if they matter")]


def _read_as(files: Sequence[LabelmeFile]) -> Finding:
    shapes = sum(shape.segment is not None for file in files for shape in file.shapes)
    text = f"{count(len(files), 'file')} of labelme: {count(shapes, 'shape')} drawn as masks ({RULE})"
    return Finding("note", text)
