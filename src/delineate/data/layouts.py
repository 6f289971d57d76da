"""Folder layouts that people already have, recognised from file names (of packed files, from their headers): nothing is renamed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.paths import usable_names
from delineate.data.case import Case, Manifest, Split
from delineate.data.findings import Finding, count, raise_errors, some
from delineate.data.groups import with_groups
from delineate.data.images import is_volume
from delineate.data.packed import LAYOUT as PACKED
from delineate.data.packed import find_packed
from delineate.data.pairing import image_files, masks_by_stem, pair, volume_files
from delineate.data.split_lists import SPLIT_NAMES, apply_lists
from delineate.data.unlabelled import add_unlabelled, is_unlabelled

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation", "groundtruth", "ground_truth", "gt")

_ISIC_IMAGES = re.compile(r"_(data|input)$", re.IGNORECASE)
_ISIC_MASKS = re.compile(r"_groundtruth$", re.IGNORECASE)
_ISIC_NAME = re.compile(r"^(.+)_segmentation$", re.IGNORECASE)
_BUSI_NAME = re.compile(r"^(.+)_mask(?:_\d+)?$", re.IGNORECASE)


@dataclass
class Match:
    """What a folder was recognised as. `cases` are usable only if no finding is an error."""

    layout: str
    cases: list[Case]
    findings: list[Finding] = field(default_factory=list)
    split_origin: str = ""
    """'files' or 'folders'; empty when the data brings no split."""
    grouping: str = ""
    """How the cases' groups were found, in words."""


def discover(folder: Path) -> Manifest:
    """Recognise a folder's layout → its manifest, without hashes and label rule. Raises `DataError` on the first fault."""
    match = recognise(folder)
    raise_errors(match.findings)
    return to_manifest(folder, match)


def to_manifest(folder: Path, match: Match) -> Manifest:
    """A match as a manifest. Ids that cannot be names of files are changed."""
    ids = usable_names([case.id for case in match.cases])
    cases = tuple(case.model_copy(update={"id": name}) for case, name in zip(match.cases, ids, strict=True))
    return Manifest(
        root=str(folder.resolve()),
        layout=match.layout,
        split_origin=match.split_origin,
        grouping=match.grouping,
        cases=cases,
    )


def recognise(folder: Path) -> Match:
    """The first layout that fits, with all its faults as findings. Raises `DataError` when the folder is missing or fits none."""
    _check_folder(folder)
    root = folder.resolve()
    try:
        match = next((match for layout in _ALL if (match := layout(root))), None)
        if match is None:
            raise _unrecognised(root)
        if match.cases and not match.split_origin and match.layout != PACKED:
            match.cases, faults = apply_lists(root, match.cases)
            match.findings += faults
            match.split_origin = "files" if any(case.split and case.masks for case in match.cases) else ""
        match.findings += _stacks(root, match.cases)
        match.cases, faults = add_unlabelled(root, match.cases)
        match.findings += faults
        match.cases, match.grouping, faults = with_groups(match.cases)
        match.findings += faults
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or root}: {error.strerror}; check the folder's permissions"
        ) from error
    return match


def split_folders(root: Path) -> Match | None:
    """`train|val|test/images|masks` (or their synonyms), one folder per split."""
    parts = [(path, SPLIT_NAMES[path.name.lower()]) for path in _folders(root) if path.name.lower() in SPLIT_NAMES]
    parts = [(path, split) for path, split in parts if _sub(path, IMAGE_FOLDERS) and _sub(path, MASK_FOLDERS)]
    if not parts:
        return None
    cases: list[Case] = []
    findings = _unused(root, [path for path, _ in parts])
    for path, split in parts:
        found, faults = _image_and_mask_folder(root, path, split)
        cases += found
        findings += faults
    return Match("split folders", _unique(cases), findings, "folders")


def pair_folders(root: Path) -> Match | None:
    """`images/` and `masks/` (or their synonyms), matched by stem."""
    images, masks = _sub(root, IMAGE_FOLDERS), _sub(root, MASK_FOLDERS)
    if images is None or masks is None:
        return None
    cases, findings = _image_and_mask_folder(root, root, None)
    return Match("images and masks", cases, findings + _unused(root, [images, masks]))


def isic_folders(root: Path) -> Match | None:
    """The ISIC challenges' own folders: `…_Training_Data` or `…_Input` with `X.jpg`, `…_GroundTruth` with `X_segmentation.png`."""
    image_folders = [path for path in _folders(root) if _ISIC_IMAGES.search(path.name)]
    mask_folders = [path for path in _folders(root) if _ISIC_MASKS.search(path.name)]
    if not image_folders or not mask_folders:
        return None
    masks = _by_name([path for folder in mask_folders for path in image_files(folder)], _ISIC_NAME)
    cases: list[Case] = []
    images = [path for folder in image_folders for path in image_files(folder) if "_superpixels" not in path.name]
    found, findings = pair(root, images, masks)
    by_folder = {folder.name: _split_in_name(folder.name) for folder in image_folders}
    cases = [case.model_copy(update={"split": by_folder[case.images[0].split("/")[0]]}) for case in found]
    findings += _unused(root, [*image_folders, *mask_folders])
    return Match("ISIC folders", cases, findings, "folders" if all(by_folder.values()) else "")


def isic_names(root: Path) -> Match | None:
    """`X.jpg` beside `X_segmentation.png`, in one folder."""
    return _beside(root, [root], _ISIC_NAME, "ISIC names", several=False)


def busi_names(root: Path) -> Match | None:
    """`name.png` beside `name_mask.png` (and `name_mask_1.png` …, merged), in the folder or in sub-folders (one per diagnosis)."""
    return _beside(root, [root, *_folders(root)], _BUSI_NAME, "BUSI names", several=True)


def packed_files(root: Path) -> Match | None:
    """`.npz` and HDF5 files with an image and its labels, as slices or whole volumes (`data.packed`)."""
    found = find_packed(root)
    return None if found is None else Match(PACKED, found.cases, found.findings, found.split_origin)


def _image_and_mask_folder(root: Path, parent: Path, split: Split | None) -> tuple[list[Case], list[Finding]]:
    images, masks = _sub(parent, IMAGE_FOLDERS), _sub(parent, MASK_FOLDERS)
    assert images is not None
    assert masks is not None
    volumes = volume_files(images)
    if volumes:
        return [], [_volumes(images, volumes)]
    files = image_files(images)
    for folder, names in ((images, files), (masks, image_files(masks))):
        if not names:
            seen = sorted(path.name for path in folder.iterdir())
            text = f"{folder} holds no images" + (f", only {some(seen, 3)}" if seen else "")
            return [], [Finding("error", text, "PNG, JPEG, BMP, GIF and TIFF are read")]
    return pair(root, files, masks_by_stem(image_files(masks), files), split=split, where=f"{images} and {masks}")


def _beside(
    root: Path, folders: Sequence[Path], pattern: re.Pattern[str], layout: str, *, several: bool
) -> Match | None:
    """Layouts in which masks lie beside their images and are told by an ending of their name."""
    cases: list[Case] = []
    findings: list[Finding] = []
    used = []
    for folder in folders:
        files = image_files(folder)
        masks = _by_name([path for path in files if pattern.match(path.stem)], pattern)
        if not masks:
            continue
        images = [path for path in files if not pattern.match(path.stem) and "_superpixels" not in path.name]
        found, faults = pair(root, images, masks, several=several, where=str(folder))
        cases += found
        findings += faults
        used.append(folder)
    if not used:
        return None
    return Match(layout, _unique(cases), findings + _unused(root, used))


def _by_name(masks: Sequence[Path], pattern: re.Pattern[str]) -> dict[str, list[Path]]:
    named: dict[str, list[Path]] = defaultdict(list)
    for path in masks:
        match = pattern.match(path.stem)
        named[match[1] if match else path.stem].append(path)
    return named


def _unique(cases: list[Case]) -> list[Case]:
    """Ids that occur in several folders get their folder's name in front."""
    counts = Counter(case.id for case in cases)
    return [
        case if counts[case.id] == 1 else case.model_copy(update={"id": f"{case.images[0].split('/')[0]}_{case.id}"})
        for case in cases
    ]


def _split_in_name(name: str) -> Split | None:
    return next((split for word in re.split(r"[-_]", name.lower()) if (split := SPLIT_NAMES.get(word))), None)


def _sub(parent: Path, names: Sequence[str]) -> Path | None:
    folders = {path.name.lower(): path for path in _folders(parent)}
    return next((folders[name] for name in names if name in folders), None)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _unused(root: Path, used: Sequence[Path]) -> list[Finding]:
    names = [path.name for path in _folders(root) if path not in used and not is_unlabelled(path)]
    return [Finding("note", f"folders that are not used: {some(names)}")] if names else []


def _volumes(folder: Path, volumes: Sequence[Path]) -> Finding:
    names = some([path.name for path in volumes], 2)
    text = f"{folder} holds {count(len(volumes), 'volume')} ({names}); this layout is not readable yet"
    return Finding("error", text, "save the slices as PNG or TIFF images")


def _stacks(root: Path, cases: Sequence[Case]) -> list[Finding]:
    """One look at the first image: the rest is met when the files are read."""
    if cases and is_volume(first := root / cases[0].images[0]):
        return [_volumes(first.parent, [first])]
    return []


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        near = [path.name for path in sorted(folder.parent.iterdir())] if folder.parent.is_dir() else []
        hint = f"; {folder.parent} has {some(near)}" if near else ""
        raise DataError(f"there is no folder {folder}{hint}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; give the folder that holds images and masks")


def _unrecognised(root: Path) -> DataError:
    for folder in (root, *_folders(root)):
        volumes = volume_files(folder)
        if volumes:
            return DataError(str(_volumes(folder, volumes)))
    inner = [folder for folder in _folders(root) if any(layout(folder) for layout in _ALL[:-1])]
    if inner:
        return DataError(f"{root} itself holds no images and masks, but {inner[0]} does; give that folder")
    seen = sorted(
        path.name + ("/" if path.is_dir() else "") for path in root.iterdir() if not path.name.startswith(".")
    )
    found = f"found {some(seen)}" if seen else "it is empty"
    return DataError(
        f"no pairs of images and masks in {root}: {found}. Expected images/ and masks/ with equal names, "
        "train/images and train/masks, X_segmentation / X_mask files beside X, or .npz and HDF5 files that hold both"
    )


_ALL: tuple[Callable[[Path], Match | None], ...] = (
    *(split_folders, pair_folders, isic_folders, isic_names, busi_names),
    packed_files,
)
"""In the order in which they are tried."""
