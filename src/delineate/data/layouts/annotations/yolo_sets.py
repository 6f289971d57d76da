"""YOLO's text files of outlines, one for each image, as Ultralytics, Roboflow, CVAT and Label Studio lay them out.

data.yaml, images/train/a.jpg, labels/train/a.txt
data.yaml, train/images/a.jpg, train/labels/a.txt
classes.txt, images/a.jpg, labels/a.txt
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.label_table import classes_of
from delineate.data.core.manifest import Split as SplitName
from delineate.data.core.words import SPLIT_NAMES, Role, folder_word, normal
from delineate.data.formats.annotations.address import AnnotationAddress, size_word
from delineate.data.formats.annotations.yolo import KIND, parse_yolo, yolo_drawing
from delineate.data.formats.registry import open_image
from delineate.data.layouts.annotations.found import RULE, AnnotatedSet, Labeled, Unmarked, cases_of, overlaps
from delineate.data.layouts.annotations.pictures import split_in
from delineate.data.layouts.tree import File, Tree

__all__ = ["LAYOUT", "Key", "find_yolo", "label_files"]

LAYOUT = "YOLO outlines"
_NAMES = ("classes.txt", "obj.names", "names.txt", "labels.txt")
"""Files with the name of a class in each line."""
_DESCRIPTIONS = ("data", "dataset")
"""What the file that describes a set is mostly called."""
_FEWEST = 5
"""Numbers of a line, at least."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class _Described:
    """What a data.yaml, or a list of names, says of a set. `folders`: split → ends of the folders that it names."""

    names: Mapping[int, str]
    folders: Mapping[SplitName, Sequence[Key]]
    origin: str


def label_files(tree: Tree, paths: Sequence[Path], images: Sequence[File]) -> dict[Path, Path]:
    """Image → its text file of numbers, among `paths`; none where the folder is not of that kind."""
    by_key = {_key(file.parts, file.stem): file for file in images}
    found = {}
    for path in paths:
        if path.suffix.lower() == ".txt" and path.name.lower() not in _NAMES:
            parts = path.relative_to(tree.root).parts[:-1]
            image = by_key.get(_key(parts, normal(path.stem)))
            if image is not None:
                found[image.path] = path
    first = next((text for path in found.values() if (text := _first_line(path))), "")
    return found if _is_numbers(first) else {}


def find_yolo(
    tree: Tree, labels: Mapping[Path, Path], images: Sequence[File], unmarked: Unmarked | None
) -> AnnotatedSet:
    """The cases of text files of outlines. Raises `DataError` for a box, and for what else is no outline.

    An image without text file, or with an empty one, is background, as Ultralytics reads it. A folder of images without any
    text file is a test set without its labels, and not used.
    """
    root = tree.root
    said = _described(tree)
    labeled = {file.parts for file in images if file.path in labels}
    idle = [file for file in images if file.parts not in labeled and unmarked is None]
    used = [file for file in images if file.parts in labeled or unmarked is not None]
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda file: open_image(file.path).shape, used))
    paths = [labels.get(file.path) or _expected(file) for file in used]
    addresses = [
        AnnotationAddress(path.relative_to(root), KIND, (size_word((size[0], size[1])),))
        for path, size in zip(paths, sizes, strict=True)
    ]
    outlines = {path: parse_yolo(path) for path in labels.values()}
    findings = [_read_as(labels, outlines)]
    found = [
        Labeled(
            file,
            str(address),
            _split(file, said),
            None if outlines.get(root / address.file) else "background",
        )
        for file, address in zip(used, addresses, strict=True)
    ]
    classes = classes_of(_entries(said, outlines), said.origin)
    cases, notes = cases_of(found, root, unmarked)
    findings += notes
    if idle:
        folders = some(sorted({"/".join(file.parts) or "." for file in idle}), 3)
        findings.append(Finding("note", f"{folders}: {count(len(idle), 'image')} without label files, not used"))
    if any(len(_named_splits(file, said)) > 1 for file in used):
        text = f"{said.origin} names one folder for several splits; these are drawn"
        findings.append(Finding("note", text))
    findings += _corners(outlines)
    whole = (AnnotationAddress(root / each.file, each.kind, each.words) for each in addresses)
    findings += overlaps((file.stem, yolo_drawing(each)) for file, each in zip(used, whole, strict=True))
    return AnnotatedSet(LAYOUT, cases, findings, "folders" if any(case.split for case in cases) else "", classes)


def _key(parts: Sequence[str], stem: str) -> Key:
    """The folders that do not say `images` or `labels`, and the name."""
    return (*(part for part in parts if folder_word(part).role is Role.NONE or not folder_word(part).plain), stem)


def _expected(image: File) -> Path:
    """Where the text file of an image would lie."""
    parts = list(image.path.parts[:-1])
    at = next((at for at in range(len(parts) - 1, -1, -1) if parts[at].lower() == "images"), None)
    if at is not None:
        parts[at] = "labels"
    return Path(*parts, image.path.stem + ".txt")


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return next((line for line in stream if line.strip()), "")
    except OSError:
        return ""


def _is_numbers(line: str) -> bool:
    parts = line.split()
    try:
        return len(parts) >= _FEWEST and all(float(part) is not None for part in parts)
    except ValueError:
        return False


def _described(tree: Tree) -> _Described:
    """What the data.yaml says, or a list of the classes' names. Raises `DataError` for a set of keypoints."""
    for path in sorted(tree.others, key=lambda path: len(path.parts)):
        if path.suffix.lower() not in (".yaml", ".yml"):
            continue
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            if path.stem.lower() not in _DESCRIPTIONS:
                continue  # a file of something else
            raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        if isinstance(content, Mapping) and "names" in content:
            if "kpt_shape" in content:
                raise DataError(f"{path} describes keypoints (kpt_shape), which mark no area; export outlines")
            folders = {split: _folders(content.get(key)) for key, split in SPLIT_NAMES.items() if content.get(key)}
            return _Described(_numbered(content["names"], path), folders, path.name)
    for name in _NAMES:
        path = next((path for path in tree.others if path.name.lower() == name), None)  # type: ignore[assignment]
        if path is not None:
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            return _Described(_numbered([line.strip() for line in lines if line.strip()], path), {}, path.name)
    return _Described({}, {}, "YOLO labels")


def _numbered(names: Any, path: Path) -> dict[int, str]:
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names) if isinstance(names, list) else ()
    try:
        found = {int(number): " ".join(str(name).split()) for number, name in pairs}
    except (TypeError, ValueError):
        found = {}
    if not found:
        raise DataError(
            f"{path}: 'names' is no list of names; write 'names: [polyp, wall]', or a line 'number: name' for each"
        )
    return found


def _folders(value: Any) -> list[Key]:
    """The folders that a data.yaml names for a split, without what leads out of the set (`../train/images`)."""
    values = value if isinstance(value, list) else [value]
    texts = [str(each).replace("\\", "/") for each in values if isinstance(each, str)]
    found = [tuple(part for part in text.split("/") if part not in ("", ".", "..")) for text in texts]
    return [parts for parts in found if parts and not parts[-1].lower().endswith(".txt")]


def _split(image: File, said: _Described) -> SplitName | None:
    """As the data.yaml says, or else as the folders are called; None where it names the image's folder for several splits."""
    found = _named_splits(image, said)
    return found.pop() if len(found) == 1 else None if found else split_in(image.parts)


def _named_splits(image: File, said: _Described) -> set[SplitName]:
    """The splits for which the data.yaml names the folder of an image; the longest path counts (`images/val` before `images`)."""
    depth = {
        split: max((len(folder) for folder in folders if _has_run(image.parts, folder)), default=0)
        for split, folders in said.folders.items()
    }
    deepest = max(depth.values(), default=0)
    return {split for split, own in depth.items() if own == deepest > 0}


def _has_run(parts: Key, run: Key) -> bool:
    """Whether some names stand in a row among others."""
    return any(parts[at : at + len(run)] == run for at in range(len(parts)))


def _entries(said: _Described, outlines: Mapping[Path, Sequence[tuple[int, Any]]]) -> list[tuple[str, int]]:
    """The classes' names with their values. Raises `DataError` for a number that has no name where others have."""
    used = {number: path for path, lines in outlines.items() for number, _ in lines}
    for number, path in sorted(used.items()):
        if said.names and number not in said.names:
            named = some([f"{at} {name}" for at, name in said.names.items()], 4)
            raise DataError(f"{path} has the class {number}, but {said.origin} names only {named}; name it too")
    names = said.names or {number: f"class {number}" for number in sorted(used)}
    if not names:
        raise DataError(
            "all label files are empty, and nothing names the classes; check that these are the right files"
        )
    return [(name, number + 1) for number, name in sorted(names.items())]


def _corners(outlines: Mapping[Path, Sequence[tuple[int, Any]]]) -> list[Finding]:
    """A warning where all outlines have four corners: they may be boxes at an angle."""
    corners = [len(points) for lines in outlines.values() for _, points in lines]
    if len(corners) < 3 or set(corners) != {4}:
        return []
    text = f"all {len(corners)} outlines have four corners, as boxes at an angle have; they are drawn as they are"
    return [Finding("warning", text, "export the set for segmentation if they are boxes")]


def _read_as(labels: Mapping[Path, Path], outlines: Mapping[Path, Sequence[tuple[int, Any]]]) -> Finding:
    number = sum(map(len, outlines.values()))
    text = f"{count(len(labels), 'label file')} of YOLO: {count(number, 'outline')} drawn as masks ({RULE})"
    return Finding("note", text)
