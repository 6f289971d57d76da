"""The reference masks to score against: a folder of masks, a data set (then one of its splits), or a run's manifest."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from delineate.common.errors import DataError
from delineate.data import labels
from delineate.data.case import IGNORE, Case, ClassTable, LabelRule, Manifest
from delineate.data.images import read_mask
from delineate.data.layouts import discover
from delineate.data.pairing import image_files

SplitChoice = Literal["train", "val", "test", "all"]

_ENDING = re.compile(r"_(?:mask|segmentation)(?:_\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class References:
    """What to score against. `manifest` holds the label rule; `cases` are those of the chosen split."""

    manifest: Manifest
    cases: tuple[Case, ...]
    split: SplitChoice


def open_references(path: Path, split: SplitChoice | None, classes: ClassTable | None) -> References:
    """Find the reference masks and how their values are read (over all masks of the data set, not of the split alone).

    `split`: default `test` where the data has one, else all. `classes`: what the predictions know; label ids that fit them
    are taken as they are, so that a class without a single reference pixel is still scored. Raises `DataError`.
    """
    if split is not None and split not in get_args(SplitChoice):
        raise DataError(f"unknown split '{split}'; use {', '.join(get_args(SplitChoice))}")
    if path.is_file() and path.suffix.lower() == ".json":
        manifest = Manifest.load(path)
    elif is_mask_folder(path):
        manifest = _read_values(_mask_folder(path), classes)
    else:
        manifest = _read_values(discover(path), classes)
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


def is_mask_folder(path: Path) -> bool:
    """Whether a folder holds masks only: image files, none of which is the image of another (`x.png` with `x_mask.png`)."""
    if not path.is_dir():
        return False
    stems = {file.stem for file in image_files(path)}
    return bool(stems) and not any(_ENDING.search(stem) and case_name(stem) in stems for stem in stems)


def case_name(stem: str) -> str:
    """A mask file's stem without `_mask`, `_mask_1` or `_segmentation`."""
    return _ENDING.sub("", stem)


def _mask_folder(folder: Path) -> Manifest:
    files: dict[str, list[str]] = defaultdict(list)
    for file in image_files(folder):
        files[case_name(file.stem)].append(file.name)
    cases = tuple(Case(id=name, images=(), masks=tuple(masks)) for name, masks in files.items())
    return Manifest(root=str(folder), layout="masks", split_origin="", cases=cases)


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
        yield from pool.map(lambda path: labels.count_values(read_mask(path)), list(paths))
