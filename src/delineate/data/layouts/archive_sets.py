"""Folders of packed files, as TransUNet and those after it keep Synapse and ACDC: training slices in .npz, test volumes in HDF5.

    Synapse/train_npz/case0005_slice000.npz        image, label: H×W
    Synapse/test_vol_h5/case0001.npy.h5            image, label: D×H×W
    Synapse/lists/lists_Synapse/train.txt          (optional) case0005_slice000 …
    ACDC/train|valid|test/case_001_sliceED_0.npz   img, label

What is slices and what volumes, and which suffix they have, is free. Where all files are volumes, each is a case. Beside pictures a
volume gives a case for each slice, whose name tells the volume and the number, so that `evaluate --stack auto` puts them together
again.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case, Split
from delineate.data.core.words import SPLIT_NAMES, UNLABELED
from delineate.data.formats.archives import (
    ONLY,
    Address,
    array_shapes,
    decode_plane,
    packed_stem,
    read_plane,
    trailing_dropped,
)
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.packed_volume import channel_axis
from delineate.data.layouts.array_sets import find_arrays, unused_arrays
from delineate.data.layouts.split_lists import drop_masks, read_lists

__all__ = ["LAYOUT", "LOOKED_AT", "PICTURES", "Found", "find_array_files", "find_packed"]

_IMAGE_ARRAYS = ("image", "img", "images", "imgs", "data")
_LABEL_ARRAYS = ("label", "labels", "mask", "masks", "gt", "gts", "seg")
LAYOUT, PICTURES = "packed slices and volumes", "pictures in arrays"
LOOKED_AT = 16
"""Pictures whose values are read to learn the range of a set's floats."""

_DEPTH = 2
"""Folders below the root that are searched."""
_WORDS = re.compile(r"[-_. ]")
_COLORS = (3, 4)


@dataclass(frozen=True)
class Found:
    """What packed files turned into."""

    cases: list[Case]
    findings: list[Finding]
    split_origin: str
    layout: str = LAYOUT


@dataclass(frozen=True)
class _File:
    """A packed file with the names of its arrays; one for each split, where arrays hold all pictures of a split."""

    path: Path
    image: str
    label: str | None
    slices: int | None
    """Of a volume, or how many pictures; None for a single picture."""
    split: Split | None
    """As its folders' names tell."""
    slices_last: bool = False
    """Whether the shape looks as if the last axis counted slices: 512×512×148."""
    pictures: bool = False
    """Whether the first axis counts pictures that have nothing to do with each other."""
    label_path: Path | None = None
    """The file of the labels, where it is another."""
    whole: bool = False
    """Whether a volume is one case."""

    def cases(self, root: Path, prefix: str, signed: bool) -> list[Case]:
        if self.whole:
            relative = self.path.relative_to(root)
            image, *masks = (
                str(Address(relative, array, volume=True)) for array in (self.image, self.label) if array is not None
            )
            return [Case(id=prefix + packed_stem(self.path), images=(image,), masks=tuple(masks), split=self.split)]
        numbers = [None] if self.slices is None else range(self.slices)
        return [self._case(root, prefix, number, signed) for number in numbers]

    def _case(self, root: Path, prefix: str, number: int | None, signed: bool) -> Case:
        relative = self.path.relative_to(root)
        image = Address(relative, self.image, number, signed)
        marked = (self.label_path or self.path).relative_to(root)
        masks = () if self.label is None else (str(Address(marked, self.label, number)),)
        if self.pictures:
            name = "_".join([*self._words, f"{number:04d}"])
            return Case(id=prefix + name, images=(str(image),), masks=masks, split=self.split)
        group = None if self.slices is None else packed_stem(self.path)
        return Case(id=prefix + image.name, images=(str(image),), masks=masks, group=group, split=self.split)

    @property
    def _words(self) -> list[str]:
        """What pictures are called before their number."""
        stem = packed_stem(self.path) or self.path.stem
        return [stem] if self.split is None or self.split in _WORDS.split(stem.lower()) else [stem, self.split]


def find_packed(root: Path, paths: Sequence[Path] | None = None) -> Found | None:
    """The cases of the packed files in `root` and up to two folders below it, or of `paths` alone; None where there are none.

    Reads headers, and the pixels of a few pictures for the range of floats. Raises `DataError` for a file that cannot be read.
    """
    paths = _packed_files(root) if paths is None else paths
    if not paths:
        return None
    files, findings = _described(root, paths)
    if files and all((file.slices or 0) > 1 and not file.pictures for file in files):
        files = [replace(file, whole=True) for file in files]
    signed, faults = _range(root, files)
    findings += faults + _volumes(files) + _pictures(files)
    twice = Counter(packed_stem(path) for path in {file.path for file in files})
    named = {
        file: file.cases(root, f"{file.path.parent.name}_" if twice[packed_stem(file.path)] > 1 else "", signed)
        for file in files
    }
    if files and all(file.pictures for file in files):
        cases = [case for members in named.values() for case in members]
        return Found(cases, findings, "names of arrays" if any(case.split for case in cases) else "", PICTURES)
    cases, origin, faults = _split(root, named)
    return Found(cases, findings + faults, origin)


def find_array_files(files: Sequence[Path], root: Path) -> Found | None:
    """The cases of .npy files that hold many pictures each (`X_train.npy`, `y_train.npy`); None where they are something else.

    Files are of one folder. Reads headers, and a few pictures. Raises `DataError` for a file that cannot be read.
    """
    shapes = {path.stem: array_shapes(path)[ONLY] for path in files}
    if any(len(trailing_dropped(shape)) < 3 for shape in shapes.values()):
        return None
    found, paths = find_arrays(shapes), {path.stem: path for path in files}
    if found is None:
        return None
    if isinstance(found, str):
        return Found([], [Finding("error", f"{files[0].parent}: {found}")], "", PICTURES)
    members = [
        _File(
            paths[one.image],
            ONLY,
            ONLY if one.label else None,
            one.number,
            one.split,
            pictures=True,
            label_path=paths.get(one.label or ""),
        )
        for one in found
    ]
    signed, findings = _range(root, members)
    unused = unused_arrays(shapes, found)
    if unused:
        findings.append(Finding("note", f"arrays that are not used: {some([f'{name}.npy' for name in unused])}"))
    cases = [case for file in members for case in file.cases(root, "", signed)]
    origin = "names of arrays" if any(case.split for case in cases) else ""
    return Found(cases, findings + _pictures(members), origin, PICTURES)


def _packed_files(root: Path, depth: int = _DEPTH) -> list[Path]:
    """The packed files of a folder and of its folders, sorted; hidden ones are left out."""
    entries = sorted(path for path in root.iterdir() if not path.name.startswith((".", "__")))
    files = [path for path in entries if packed_stem(path) and path.is_file()]
    if depth:
        files += [file for path in entries if path.is_dir() for file in _packed_files(path, depth - 1)]
    return files


def _folder_split(root: Path, folder: Path) -> Split | None:
    """The split that a folder's name, or one above it, tells of: `train_npz`, `ACDC_training_slices`, `test_vol_h5`."""
    if folder == root:
        return None
    split = _split_in(folder.name)
    return split or _folder_split(root, folder.parent)


def _split_in(name: str) -> Split | None:
    return next((split for word in _WORDS.split(name.lower()) if (split := SPLIT_NAMES.get(word))), None)


def _described(root: Path, paths: Sequence[Path]) -> tuple[list[_File], list[Finding]]:
    files, findings = [], []
    with ThreadPoolExecutor(4) as pool:
        for path, shapes in zip(paths, pool.map(_shapes, paths), strict=True):
            found = shapes if isinstance(shapes, str) else _sets(root, path, shapes) or _describe(root, path, shapes)
            if isinstance(found, str):
                findings.append(Finding("error", found))
                continue
            members, unused = found if isinstance(found, tuple) else ([found], [])
            files += members
            if unused:
                findings.append(Finding("note", f"{path.name}: arrays that are not used: {some(unused)}"))
    return files, findings


def _shapes(path: Path) -> dict[str, tuple[int, ...]] | str:
    try:
        return array_shapes(path)
    except DataError as error:
        return str(error)


def _sets(root: Path, path: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[list[_File], list[str]] | str | None:
    """The arrays of a file that hold many pictures each, and the names of the others; or what is wrong; None: they do not."""
    found = find_arrays(shapes)
    if found is None or isinstance(found, str):
        return found and f"{path}: {found}"
    told = _split_in(path.stem) or _folder_split(root, path.parent)
    files = [
        _File(path, one.image, one.label, one.number, one.split or told, pictures=True) for one in found if one.number
    ]
    return files, unused_arrays(shapes, found)


def _describe(root: Path, path: Path, shapes: dict[str, tuple[int, ...]]) -> _File | str:
    """What the arrays of a file are, or what is wrong with them."""
    image = next((name for name in _IMAGE_ARRAYS if name in shapes), None)
    label = next((name for name in _LABEL_ARRAYS if name in shapes), None)
    bare = any(part.lower() in UNLABELED for part in path.relative_to(root).parts[:-1])
    if image is None or (label is None and not bare):
        wanted = f"image ({', '.join(_IMAGE_ARRAYS)}) and label ({', '.join(_LABEL_ARRAYS)})"
        return f"{path} holds {some(sorted(shapes)) or 'no arrays'}; expected an {wanted}"
    label = None if bare else label
    shape, marked = _fitting(shapes[image], shapes.get(label or "", ()))
    single = len(shape) == 2 or (len(shape) == 3 and shape[2] in _COLORS and len(marked) == 2)
    if not single and len(shape) != 3:
        fault = f"{path}: '{image}' has {len(shape)} axes ({_size(shape)}); a picture has two, a volume three: "
        if channel_axis(shape) is not None:
            return fault + f"give a table with a column for each channel (image_T1: {path.name}#{image}@volume#0)"
        return (
            f"{fault}save each channel as an array of its own, and give a table with a column for each "
            f"(image_T1: {path.name}#T1@volume)"
        )
    plane = shape[:2] if single else shape
    if label is not None and marked != plane:
        return f"{path}: '{image}' is {_size(shape)} but '{label}' is {_size(shapes[label])}; export both alike"
    split: Split | None = "train" if bare else _folder_split(root, path.parent)
    last = not single and shape[0] == shape[1] > shape[2]
    return _File(path, image, label, None if single else shape[0], split, last)


def _fitting(image: tuple[int, ...], label: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both shapes without axes of length 1: at the end, and at the start of what the other shows to be a picture; colors last."""
    image, label = trailing_dropped(image), trailing_dropped(label)
    flat = label[1:] if len(label) == 3 and label[0] == 1 else label
    if len(image) == 3 and len(flat) == 2 and image[0] in _COLORS and image[2] not in _COLORS and image[1:] == flat:
        return (*flat, image[0]), flat
    colors = image[-1:] and image[-1] in _COLORS and len(image) > 2
    picture = image[: -1 if colors else None]
    if len(label) == 3 and label[0] == 1 and (colors or picture == label[1:]):
        label = label[1:]
    if len(picture) == 3 and picture[0] == 1 and picture[1:] == label:
        image = image[1:]
    return image, label


def _range(root: Path, files: Sequence[_File]) -> tuple[bool, list[Finding]]:
    """Whether floats go below 0, from a few pictures all over the set, and a note of what was seen."""
    low, high, floats = 0.0, 0.0, 0
    for address in _looked_at(files):
        if math.prod(array_shapes(address.file)[address.array][-2:]) > DEFAULT_MAX_PIXELS:
            continue  # refused, or allowed, where the limit is known
        array = decode_plane(read_plane(address))
        if array.dtype.kind == "f":
            array = array[np.isfinite(array)]  # what is no number is refused where it is read, with the file's name
        if array.dtype.kind == "f" and array.size:
            low, high, floats = min(low, float(array.min())), max(high, float(array.max())), floats + 1
    if not floats:
        return False, []
    signed = low < 0
    seen = f"images are floats, from {low:g} to {high:g} in the {count(floats, 'picture')} looked at"
    if low < -1.001 or high > 1.001:
        mend = "scale the images of the whole set by one rule to 0…1 (or to -1…1)"
        return signed, [Finding("error", f"{seen} of {root}, which are no fractions", mend)]
    return signed, [Finding("note", f"{seen}; read as 16-bit numbers, {'-1' if signed else '0'}…1 → 0…65535")]


def _looked_at(files: Sequence[_File]) -> list[Address]:
    """A few pictures all over a set: of each file the middle one, of arrays of many pictures several."""
    pictures = sum(file.pictures for file in files)
    each = max(1, LOOKED_AT // pictures) if pictures else 1
    chosen = sorted({round(at) for at in np.linspace(0, len(files) - 1, min(LOOKED_AT, len(files)))}) if files else []
    places = []
    for file in (files[at] for at in chosen):
        if file.whole:
            continue  # a volume's numbers are its own, as in other formats
        if file.slices is None:
            places.append(Address(file.path, file.image))
        elif not file.pictures:
            places.append(Address(file.path, file.image, file.slices // 2))
        else:
            numbers = sorted({round(at) for at in np.linspace(0, file.slices - 1, each)})
            places += [Address(file.path, file.image, number) for number in numbers]
    return places


def _volumes(files: Sequence[_File]) -> list[Finding]:
    depths = [file.slices for file in files if file.slices is not None and not file.pictures]
    if not depths:
        return []
    span = f"{min(depths)}" if min(depths) == max(depths) else f"{min(depths)}…{max(depths)}"
    odd = [file.path.name for file in files if file.slices_last]
    findings = []
    if odd:
        text = f"{count(len(odd), 'volume looks', 'volumes look')} as if the last axis counted slices: {some(odd, 3)}"
        findings.append(Finding("warning", text, "the first one is taken to; move that axis to the front"))
    text = f"{count(len(depths), 'volume')} of {span} slices, counted along the first axis"
    if files[0].whole:
        return [*findings, Finding("note", f"{text}; each volume is a case")]
    text = f"{text}: {sum(depths)} cases"
    return [*findings, Finding("note", text, "score them as volumes with --stack auto")]


def _pictures(files: Sequence[_File]) -> list[Finding]:
    """What arrays of many pictures were understood as, a line for each file."""
    findings = []
    for path in dict.fromkeys(file.path for file in files if file.pictures):
        parts = [file for file in files if file.path == path]
        counts = ", ".join(f"{file.slices} {file.split or ''}".strip() for file in parts if file.slices)
        names = some([_arrays_of(file) for file in parts], 3)
        said = "; the splits are its own" if any(file.split for file in parts) else ""
        findings.append(Finding("note", f"{path.name}: arrays of pictures ({names}), {counts}{said}"))
    return findings


def _arrays_of(file: _File) -> str:
    if file.label_path is not None:
        return f"{file.path.name} + {file.label_path.name}"
    return f"{file.image} + {file.label}" if file.label else file.image


def _split(root: Path, named: dict[_File, list[Case]]) -> tuple[list[Case], str, list[Finding]]:
    """The cases with the splits of lists, where there are any for their split, and else of the folders' names."""
    cases = [case for members in named.values() for case in members]
    names: dict[str, list[str]] = {}
    for file, members in named.items():
        ids = [case.id for case in members]
        names |= {name: [name] for name in ids}
        names[packed_stem(file.path)] = list(dict.fromkeys(names.get(packed_stem(file.path), []) + ids))
    lists = {path: split for path in _lists(root) if (split := _split_in(path.stem))}
    bare = [path for path in _lists(root) if path.stem.lower() in UNLABELED]
    cases, findings = drop_masks(bare, cases, names)
    if not lists:
        return cases, "folders" if any(case.split for case in cases) else "", findings
    found, faults = read_lists(lists, names)
    ruled = set(lists.values())

    def rest(case: Case) -> Split | None:
        """Of a case in no list: nothing, where there is a list of its split."""
        split = case.split or "train"
        return None if case.masks and split in ruled else split

    splits = {case.id: found.get(case.id) or rest(case) for case in cases}
    unlisted = [name for name, split in splits.items() if split is None]
    if unlisted:
        text = f"{count(len(unlisted), 'case is', 'cases are')} in no list and not used: {some(unlisted)}"
        faults.append(Finding("note", text))
    return [case.model_copy(update={"split": splits[case.id]}) for case in cases], "files", findings + faults


def _lists(root: Path) -> Iterator[Path]:
    """Lists lie in the root, or in `lists`, `lists/lists_X` or `lists_X`."""
    inner = sorted(path for path in root.glob("list*") if path.is_dir())
    for folder in (root, *inner, *(path for one in inner for path in sorted(one.iterdir()) if path.is_dir())):
        yield from sorted(
            path for path in folder.iterdir() if path.suffix.lower() in (".txt", ".list") and path.is_file()
        )


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
