"""The reference masks to score against: a folder of masks, a data set (then one of its splits), or a run's manifest.

Masks are images, or NIfTI volumes; of a data set of volumes (`images/` and `masks/`) only the masks are used.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data import labels
from delineate.data.case import IGNORE, Case, ClassTable, LabelRule, Manifest
from delineate.data.findings import raise_errors
from delineate.data.groups import with_groups
from delineate.data.layouts import MASK_FOLDERS
from delineate.data.pairing import image_files, volume_files
from delineate.data.pixels import case_mask
from delineate.data.planes import packed_stem
from delineate.data.source import DataSource, as_source
from delineate.data.split_lists import apply_lists
from delineate.data.volumes import check_same_geometry, file_stem, is_nifti, read_geometry, read_labels

SplitChoice = Literal["train", "val", "test", "all"]

_ENDING = re.compile(r"_(?:mask|segmentation)(?:_\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class References:
    """What to score against. `manifest` holds the label rule; `cases` are those of the chosen split."""

    manifest: Manifest
    cases: tuple[Case, ...]
    split: SplitChoice


def open_references(given: Path | DataSource, split: SplitChoice | None, classes: ClassTable | None) -> References:
    """Find the reference masks and how their values are read (over all masks of the data set, not of the split alone).

    `split`: default `test` where the data has one, else all. `classes`: what the predictions know; label ids that fit them
    are taken as they are, so that a class without a single reference pixel is still scored. Raises `DataError`.
    """
    if split is not None and split not in get_args(SplitChoice):
        raise DataError(f"unknown split '{split}'; use {', '.join(get_args(SplitChoice))}")
    source = as_source(given)
    path = source.path
    if source.is_manifest:
        manifest = source.manifest()
    elif source.masks is None and is_mask_folder(path):
        manifest = _read_values(_mask_folder(path), classes)
    elif (masks := _volume_set(path)) is not None:
        manifest = _read_values(_mask_folder(masks, root=path), classes)
    else:
        manifest = _read_values(source.manifest(), classes)
    split = split or ("test" if manifest.split("test") else "all")
    cases = tuple(case for case in manifest.cases if case.masks and split in (case.split, "all"))
    if not cases:
        known = sorted({case.split or "none" for case in manifest.cases})
        raise DataError(f"{path} has no masks in its split '{split}'; its cases are in: {', '.join(known)}")
    if classes is not None and len(classes.names) != len(manifest.classes.names):
        raise DataError(
            f"the predictions have {len(classes.names)} classes ({', '.join(classes.names)}), the references in {path} have "
            f"{len(manifest.classes.names)} ({', '.join(manifest.classes.names)})"
        )
    return References(manifest, cases, split)


def read_reference(manifest: Manifest, case: Case) -> NDArray[np.uint8]:
    """A case's class indices (255 = ignore), merged over its mask files: H×W, or X×Y×Z of a volume.

    Raises `DataError` as `read_labels`, for values that are no class of the manifest, and for masks of one case that do not
    lie in the same place. The case has masks.
    """
    if not is_nifti(manifest.path(case.masks[0])):
        mask = case_mask(manifest, case)
        assert mask is not None, "cases without masks are no references"
        return mask
    paths = [manifest.path(mask) for mask in case.masks]
    for other in paths[1:]:
        check_same_geometry(read_geometry(paths[0]), read_geometry(other))
    return labels.merge([labels.apply(manifest.labels, read_labels(path), path) for path in paths])


def mask_like_files(folder: Path) -> list[Path]:
    """The images directly in a folder, or else its NIfTI volumes, sorted by name; none where there are neither.

    Raises `DataError` for both in one folder, and for volumes in other formats.
    """
    images, volumes = image_files(folder), [path for path in volume_files(folder) if is_nifti(path)]
    if images and volumes:
        raise DataError(
            f"{folder} holds images ({images[0].name}) and volumes ({volumes[0].name}); keep one kind there"
        )
    others = [] if images or volumes else [path for path in volume_files(folder) if not packed_stem(path)]
    if others:
        raise DataError(f"{others[0]} is a volume in a format that is not read; convert the masks to .nii.gz")
    return images or volumes


def is_mask_folder(path: Path) -> bool:
    """Whether a folder holds masks only: images or volumes, none of which is the image of another (`x.png` with `x_mask.png`)."""
    if not path.is_dir():
        return False
    stems = {file_stem(file) for file in mask_like_files(path)}
    return bool(stems) and not any(_ENDING.search(stem) and case_name(stem) in stems for stem in stems)


def case_name(stem: str) -> str:
    """A mask file's stem without `_mask`, `_mask_1` or `_segmentation`."""
    return _ENDING.sub("", stem)


def _volume_set(path: Path) -> Path | None:
    """The folder of label volumes of a data set, or None when `path` is none."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []
    masks = (folder for folder in folders if folder.name.lower() in (*MASK_FOLDERS, "labelstr"))
    return next((folder for folder in masks if any(map(is_nifti, mask_like_files(folder)))), None)


def _mask_folder(folder: Path, root: Path | None = None) -> Manifest:
    """The masks of a folder as cases; with the `root` of the data set, its split lists are obeyed."""
    base = root or folder
    files: dict[str, list[Path]] = defaultdict(list)
    for file in mask_like_files(folder):
        files[case_name(file_stem(file))].append(file)
    spacings = _spacings([paths[0] for paths in files.values()])
    cases = [
        Case(
            id=name,
            images=(),
            masks=tuple(path.relative_to(base).as_posix() for path in paths),
            spacing=spacings.get(paths[0]),
        )
        for name, paths in files.items()
    ]
    cases, grouping, _ = with_groups(cases)
    if root is None:
        return Manifest(root=str(base), layout="masks", split_origin="", grouping=grouping, cases=tuple(cases))
    cases, findings = apply_lists(root, cases)
    raise_errors(findings)
    origin = "files" if any(case.split for case in cases) else ""
    return Manifest(root=str(base), layout="label volumes", split_origin=origin, grouping=grouping, cases=tuple(cases))


def _spacings(paths: Sequence[Path]) -> dict[Path, tuple[float, ...]]:
    """Spacing in mm of those files that tell theirs."""
    volumes = [path for path in paths if is_nifti(path)]
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(volumes, pool.map(lambda path: read_geometry(path).spacing, volumes), strict=True))


def _read_values(manifest: Manifest, classes: ClassTable | None) -> Manifest:
    """The manifest with its label rule and class table, from the values of all of its masks."""
    counts: Counter[int] = Counter()
    for values in _each_values(manifest.path(mask) for case in manifest.cases for mask in case.masks):
        counts.update(values)
    if classes is not None and _are_ids_of(classes, counts):
        values = {index: index for index in (*range(len(classes.names)), IGNORE)}
        return manifest.model_copy(update={"labels": LabelRule(values=values), "classes": classes})
    try:
        rule, table = labels.infer(counts)
    except DataError as error:
        raise DataError(f"reference masks in {manifest.root}: {error}") from error
    if classes is not None and len(classes.names) == len(table.names):
        table = classes
    return manifest.model_copy(update={"labels": rule, "classes": table})


def _are_ids_of(classes: ClassTable, counts: Mapping[int, int]) -> bool:
    """Whether mask values are indices of these (more than two) classes. 0 and 255 alone are black and white."""
    indices = range(len(classes.names))
    return len(indices) > 2 and set(counts) <= {*indices, IGNORE} and any(counts.get(index) for index in indices[1:])


def _each_values(paths: Iterable[Path]) -> Iterable[dict[int, int]]:
    with ThreadPoolExecutor(4) as pool:
        yield from pool.map(lambda path: labels.count_values(read_labels(path)), list(paths))
