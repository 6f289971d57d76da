"""The reference masks to score against: a folder of masks, a data set (then one of its splits), or a run's manifest.

Masks are images, or NIfTI volumes; of a data set of volumes (`images/` and `masks/`) only the masks are used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_mask
from delineate.data.core import labels
from delineate.data.core.findings import raise_errors
from delineate.data.core.geometry import Geometry
from delineate.data.core.label_files import find_labels
from delineate.data.core.label_reading import Reading
from delineate.data.core.manifest import Case, ClassTable, Manifest
from delineate.data.core.words import Role, ending, folder_word, mask_base, normal
from delineate.data.formats.archives import packed_stem
from delineate.data.formats.dicom_masks.codes import CodeTable
from delineate.data.formats.registry import check_same_grid, file_stem, read_geometry, read_mask, reads_volume
from delineate.data.layouts.discover import find_volumes, to_manifest
from delineate.data.layouts.groups import with_groups
from delineate.data.layouts.pairing import merged
from delineate.data.layouts.roles import Item, assign
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.layouts.split_lists import apply_lists
from delineate.data.layouts.tree import File, image_files, volume_files
from delineate.data.splits.run_splits import with_run_splits
from delineate.evaluation.inputs.dicom_masks import (
    as_references,
    dicom_masks,
    file_of,
    has_dicom_images,
    is_mask_of_dicom,
)
from delineate.evaluation.inputs.joined_masks import joined_masks
from delineate.evaluation.inputs.mask_contents import read_mask_values
from delineate.evaluation.inputs.numbered_cases import numbered
from delineate.evaluation.inputs.reference_values import in_order, read_references
from delineate.evaluation.inputs.sparse_masks import values_on

__all__ = [
    "References",
    "SplitChoice",
    "case_name",
    "is_mask_folder",
    "mask_like_files",
    "open_references",
    "read_as",
    "read_reference",
]

SplitChoice = Literal["train", "val", "test", "all"]


@dataclass(frozen=True)
class References:
    """What to score against. `manifest` holds the label rule; `cases` are those of the chosen split."""

    manifest: Manifest
    cases: tuple[Case, ...]
    split: SplitChoice
    named: bool = False
    """Whether the owner of the masks has said what their values mean."""


def open_references(
    given: Path | DataSource, split: SplitChoice | None, classes: ClassTable | None, *, run: Path | None = None
) -> References:
    """Find the reference masks and how their values are read (over all masks of the data set, not of the split alone).

    `split`: default `test` where the data has one, else all. `classes`: what the predictions know; label ids that fit them
    are taken as they are, so that a class without a single reference pixel is still scored. `run`: the manifest of the run that
    made the predictions, whose splits hold where the data name none. Raises `DataError`.
    """
    if split is not None and split not in get_args(SplitChoice):
        raise DataError(f"unknown split '{split}'; use {', '.join(get_args(SplitChoice))}")
    source = as_source(given)
    path = source.path
    brings_names = False
    if source.is_manifest:
        manifest = _read_before(_with_spacings(source.manifest()), classes)
    elif source.masks is None and not source.is_table and is_mask_folder(path):
        manifest = _read_values(source.named(_mask_folder(path, codes=source.telling_codes)), classes)
    elif (volumes := _volume_set(source)) is not None:
        manifest = _read_values(source.named(volumes), classes)
    else:
        manifest = _with_spacings(source.manifest())
        brings_names = manifest.classes.labels is not None
        manifest = _read_values(manifest, classes)
    if split not in (None, "all") and run is not None and not any(case.split for case in manifest.cases):
        manifest = with_run_splits(manifest, run)
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
    named = brings_names or source.labels is not None or find_labels(Path(manifest.root)) is not None
    return References(manifest, cases, split, named)


def read_reference(manifest: Manifest, case: Case, grid: Geometry | None = None) -> NDArray[np.uint8]:
    """A case's class indices (255 = ignore), merged over its mask files: H×W, or X×Y×Z of a volume.

    `grid`: that a volume is wanted on, where it is a DICOM mask. Raises `DataError` as `read_mask`, for values that are no class of
    the manifest, and for masks of one case that do not lie in the same place. The case has masks.
    """
    if not reads_volume(manifest.path(case.masks[0])):
        mask = case_mask(manifest, case)
        assert mask is not None, "cases without masks are no references"
        return mask
    paths = [manifest.path(mask) for mask in case.masks]
    if grid is not None:
        return labels.merge([labels.apply(manifest.labels, values_on(path, grid, path), path) for path in paths])
    for other in paths[1:]:
        check_same_grid(paths[0], other)
    return labels.merge([labels.apply(manifest.labels, read_mask(path), path) for path in paths])


def read_as(manifest: Manifest, cases: tuple[Case, ...]) -> Manifest:
    """A manifest of other masks of the same cases, read by the manifest's table where they fit it. Raises `DataError`."""
    bare = manifest.model_copy(update={"cases": cases, "classes": manifest.classes.model_copy(update={"labels": None})})
    other = _read_values(bare, manifest.table)
    if len(other.classes.names) != len(manifest.classes.names):
        raise DataError(
            f"{cases[0].masks[0]} and the masks beside it show {len(other.classes.names)} classes, the references "
            f"{len(manifest.classes.names)}; say what their values mean with --labels"
        )
    return other


def mask_like_files(folder: Path) -> list[Path]:
    """The images directly in a folder, or else its volumes, sorted by name; none where there are neither. DICOM masks may have any
    name, and lie in the folders below.

    Raises `DataError` for both in one folder, and for volumes in other formats.
    """
    images, volumes = image_files(folder), [path for path in volume_files(folder) if reads_volume(path)]
    if images and volumes:
        raise DataError(
            f"{folder} holds images ({images[0].name}) and volumes ({volumes[0].name}); keep one kind there"
        )
    dicom = [] if images or not all(map(is_mask_of_dicom, volumes)) else dicom_masks(folder)
    if dicom:
        return dicom
    others = [] if images or volumes else [path for path in volume_files(folder) if not packed_stem(path)]
    if others:
        raise DataError(f"{others[0]} is a volume in a format that is not read; convert the masks to .nii.gz")
    return images or volumes


def is_mask_folder(path: Path) -> bool:
    """Whether a folder holds masks only: images or volumes, none of which is the image of another (`x.png` with `x_mask.png`)."""
    if not path.is_dir():
        return False
    items = _items(mask_like_files(path))
    return bool(items) and not any(item.role is Role.IMAGE for item in items)


def case_name(stem: str) -> str:
    """A mask file's stem without the ending that says what it is: `x_mask`, `x_mask_1`, `x_gt` → x."""
    return mask_base(normal(stem)) or normal(stem)


def _items(files: Sequence[Path]) -> list[Item]:
    return assign([File(file, (), normal(file_stem(file))) for file in files])


def _volume_set(source: DataSource) -> Manifest | None:
    """The label volumes of a data set as cases; None when it has none. Images need not be there."""
    path = source.path
    if not path.is_dir() or has_dicom_images(path):  # then cases are called as in training
        return None
    match = find_volumes(path, source.images, source.masks)
    if match is not None:
        raise_errors(match.findings)
        manifest = _with_spacings(to_manifest(match).model_copy(update={"layout": "label volumes"}))
        cases = [case.model_copy(update={"images": ()}) for case in manifest.cases]
        return manifest.model_copy(update={"cases": tuple(cases)})
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    masks = (folder for folder in folders if folder_word(folder.name).role is Role.MASK)
    folder = next((folder for folder in masks if any(map(reads_volume, mask_like_files(folder)))), None)
    return None if folder is None else _mask_folder(folder, root=path)


def _mask_folder(folder: Path, root: Path | None = None, codes: CodeTable | None = None) -> Manifest:
    """The masks of a folder as cases; with the `root` of the data set, its split lists are obeyed."""
    base = root or folder
    found = joined_masks(mask_like_files(folder), codes)
    plain = all(path == file_of(path) and path.parent == folder for path in found)
    files = _masks_by_case(found) if plain else _numbered(found)
    known = as_references([path for paths in files.values() for path in paths], codes)
    classes = ClassTable()
    if known is not None and all(len(paths) == 1 for paths in files.values()):
        files = {name: [path] for name, path in zip(files, known[0], strict=True)}
        classes = known[1]
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
        cases, grouping = numbered(cases, grouping)
        return Manifest(
            root=str(base), layout="masks", split_origin="", grouping=grouping, cases=tuple(cases), classes=classes
        )
    cases, findings = apply_lists(root, cases)
    raise_errors(findings)
    cases, grouping = numbered(cases, grouping)
    origin = "files" if any(case.split for case in cases) else ""
    return Manifest(
        root=str(base),
        layout="label volumes",
        split_origin=origin,
        grouping=grouping,
        cases=tuple(cases),
        classes=classes,
    )


def _numbered(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """DICOM masks of any name: it may tell who the patient is, and several in folders below may be alike."""
    return {f"case_{number:04d}": [path] for number, path in enumerate(paths, 1)}


def _masks_by_case(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Case → its masks. Raises `DataError` where two files are masks of one case and nothing says that they are to be merged."""
    named: dict[str, list[Item]] = defaultdict(list)
    for item in _items(paths):
        named[case_name(item.stem)].append(item)
    for name, items in named.items():
        first = [item for item in items if (end := ending(item.stem)) is None or end.role is not Role.RATER]
        items = named[name] = first or items  # a second observer's mask beside the first one's is no reference
        if not merged(items):
            both = " and ".join(str(item.path) for item in items)
            raise DataError(f"{both} are both masks of '{name}'; keep one")
    return {name: [item.path for item in items] for name, items in named.items()}


def _spacings(paths: Sequence[Path]) -> dict[Path, tuple[float, ...]]:
    """Spacing in mm of those files that tell theirs."""
    volumes = [path for path in paths if reads_volume(path)]
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(volumes, pool.map(lambda path: read_geometry(path).millimeters, volumes), strict=True))
    return {path: spacing for path, spacing in found.items() if spacing is not None}


def _with_spacings(manifest: Manifest) -> Manifest:
    """The manifest with the distances of voxels along the axes of its label volumes, as they are scored; training notes those of
    slice, row and column."""
    volumes = {case.id: manifest.path(case.masks[0]) for case in manifest.cases if case.masks}
    volumes = {name: path for name, path in volumes.items() if reads_volume(path)}
    known = _spacings(list(volumes.values()))
    bare = [case for case in manifest.cases if case.id in volumes and volumes[case.id] not in known and case.images]
    images = {case.id: manifest.path(case.images[0]) for case in bare}  # masks of TIFF seldom tell what their images do
    further = _spacings(list(images.values()))
    cases = []
    for case in manifest.cases:
        if case.id in volumes:
            told = known.get(volumes[case.id]) or further.get(images.get(case.id, Path()))
            case = case.model_copy(update={"spacing": told})
        cases.append(case)
    return manifest.model_copy(update={"cases": tuple(cases)})


def _read_before(manifest: Manifest, classes: ClassTable | None) -> Manifest:
    """A saved manifest keeps its rule, unless somebody now says otherwise."""
    if manifest.classes.labels is not None:
        return _read_values(manifest, classes)
    reading = in_order(Reading(manifest.labels, manifest.classes), classes)
    return manifest.model_copy(update={"labels": reading.rule, "classes": reading.classes})


def _read_values(manifest: Manifest, classes: ClassTable | None) -> Manifest:
    """The manifest with its label rule and class table, from the values of all of its masks."""
    names = [mask for case in manifest.cases for mask in case.masks]
    files = read_mask_values([manifest.path(name) for name in names], names)
    try:
        reading = read_references(files, manifest.classes, classes)
    except DataError as error:
        raise DataError(f"reference masks in {manifest.root}: {error}") from error
    return manifest.model_copy(update={"labels": reading.rule, "classes": reading.classes})
