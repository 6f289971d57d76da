"""A CSV file that lists the cases: `image` and `mask`, and if known `group`, `split`, `domain` and `id`.

    image,mask,group,split
    scans/a.jpg,marked/a.png,patient 1,train
    scans/b.jpg,marked/b_left.png;marked/b_right.png,patient 2,test

Paths are relative to the table's folder, or absolute. Several masks of one image, with semicolons between, are merged. Without a
mask, an image is for training with methods that learn from such.

An image whose channels are files of their own has a column for each, and what follows `image_` is the channel's name:

    image_t1,image_flair,mask
    p1/t1.png,p1/flair.png,p1/tumor.png
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.findings import Finding, count, raise_errors, some
from delineate.data.core.grouping import read_table
from delineate.data.core.manifest import Case, Manifest, Split
from delineate.data.core.naming import common_start, unique_names
from delineate.data.core.words import SPLIT_NAMES, normal
from delineate.data.formats.archives import Address
from delineate.data.formats.frames import frame_address
from delineate.data.formats.registry import file_stem, image_suffix, volume_suffix, what_is_read
from delineate.data.layouts.discover import Match, to_manifest
from delineate.data.layouts.groups import with_groups

__all__ = ["COLUMNS", "LAYOUT", "Row", "manifest_of_table", "match_table"]

LAYOUT = "table"
COLUMNS: dict[str, tuple[str, ...]] = {
    "image": ("image", "images", "img", "image_path", "image_file"),
    "mask": ("mask", "masks", "label", "labels", "mask_path", "mask_file"),
    "group": ("group", "patient", "patient_id", "subject"),
    "split": ("split", "set"),
    "domain": ("domain", "site", "center", "centre", "scanner"),
    "id": ("id", "case", "name"),
}
"""What a column tells → what it may be called."""
_SEVERAL = ";"
_CHANNEL = "image_"
"""What columns of channels begin with."""

Row = dict[str, str]


def manifest_of_table(path: Path) -> Manifest:
    """The cases of a table, without hashes and label rule. Raises `DataError` on the first fault."""
    match = match_table(path)
    raise_errors(match.findings)
    return to_manifest(match)


def match_table(path: Path) -> Match:
    """The cases of a table, with all its faults as findings. Raises `DataError`: no table, or no column of images."""
    rows, channels, unknown = _rows(path)
    folder = path.resolve().parent
    findings = [Finding("note", f"columns of {path} that are not used: {some(unknown)}")] if unknown else []
    wanted = [_CHANNEL + name for name in channels] or ["image"]
    files = [
        [[file for what in wanted for file in _files(folder, row.get(what, ""))], _files(folder, row.get("mask", ""))]
        for row in rows
    ]
    lost = [str(file) for pair in files for each in pair for file in each if not _there(file)]
    if lost:
        text = f"{path} names {count(len(lost), 'file')} that {'is' if len(lost) == 1 else 'are'} not there: {some(lost, 3)}"
        findings.append(Finding("error", text, f"paths are relative to {folder}; correct them or add the files"))
    findings += _row_faults(path, rows, wanted, files)
    everything = [file for pair in files for each in pair for file in each]
    root = Path(os.path.commonpath([folder, *(file.parent for file in everything)]))
    cases = [] if any(finding.severity == "error" for finding in findings) else _cases(root, rows, files)
    origin = "table" if any(case.split and case.masks for case in cases) else ""
    cases, grouping, more = _grouped(cases, path)
    return Match(LAYOUT, cases, findings + more, origin, grouping, root, channels)


def _rows(path: Path) -> tuple[list[Row], tuple[str, ...], list[str]]:
    """The rows by the names of `COLUMNS`, the channels that have a column each, and the columns that are none of these."""
    table = read_table(path)
    called = {name: name.strip().lower() for name in table[0]}
    meant = {
        name: next((what for what, words in COLUMNS.items() if word in words), "") for name, word in called.items()
    }
    channels = {
        name: name.strip()[len(_CHANNEL) :]
        for name, what in meant.items()
        if not what and called[name].startswith(_CHANNEL) and called[name] != _CHANNEL
    }
    meant |= {name: _CHANNEL + channel for name, channel in channels.items()}
    kept = [what for what in meant.values() if what]
    twice = next((what for what in kept if kept.count(what) > 1), None)
    if twice is not None:
        both = " and ".join(name for name, what in meant.items() if what == twice)
        raise DataError(f"{path} has several columns for the {twice}: {both}; keep one")
    if channels and "image" in kept:
        raise DataError(
            f"{path} has a column for whole images beside some for channels ({', '.join(channels)}); keep the one or the others"
        )
    if "image" not in kept and not channels:
        raise DataError(
            f"{path} has no column 'image', only {', '.join(called)}; a table of cases has the columns image and mask, and if "
            "known group, split, domain, id"
        )
    if "mask" not in kept:
        raise DataError(f"{path} has no column 'mask', only {', '.join(called)}; leave cells empty for images without")
    rows = [{meant[name]: value for name, value in row.items() if meant[name]} for row in table]
    return rows, tuple(channels.values()), [name for name, what in meant.items() if not what]


def _files(folder: Path, cell: str) -> list[Path]:
    whole = folder / cell
    if not cell or _SEVERAL not in cell or _there(whole):
        return [_found(whole)] if cell else []
    return [_found(folder / part.strip()) for part in cell.split(_SEVERAL) if part.strip()]


def _found(path: Path) -> Path:
    """The file as it is called on disk, also where a table is in composed characters and the name is not, and with `\\` for `/`."""
    path = Path(os.path.normpath(path))
    if _there(path):
        return path
    if "\\" in str(path):
        return _found(Path(str(path).replace("\\", "/")))
    if path.parent.is_dir():
        wanted = normal(path.name)
        return next((each for each in sorted(path.parent.iterdir()) if normal(each.name) == wanted), path)
    return path


def _there(path: Path) -> bool:
    address = Address.parse(path)
    return (frame_address(path)[0] if address is None else address.file).is_file()


def _row_faults(
    path: Path, rows: Sequence[Row], wanted: Sequence[str], files: Sequence[list[list[Path]]]
) -> list[Finding]:
    findings = []
    images: dict[str, list[int]] = defaultdict(list)
    for number, (row, (image, masks)) in enumerate(zip(rows, files, strict=True), start=2):
        problem = _fault(row, wanted, image, masks)
        if problem:
            findings.append(Finding("error", f"{path}, row {number}: {problem}"))
        for file in image:
            images[str(file)].append(number)
    twice = {file: numbers for file, numbers in images.items() if len(numbers) > 1}
    if twice:
        first, numbers = next(iter(twice.items()))
        text = f"{path} lists {count(len(twice), 'image')} twice, such as {first} (rows {', '.join(map(str, numbers))})"
        findings.append(Finding("error", text, "keep one row; several masks go into one cell, with ; between"))
    return findings


def _fault(row: Row, wanted: Sequence[str], images: Sequence[Path], masks: Sequence[Path]) -> str:
    split = row.get("split", "")
    lacking = [what for what in wanted if not row.get(what)]
    if lacking:
        return "the image is missing" if lacking == ["image"] else f"nothing stands in column {some(lacking)}"
    if len(images) != len(wanted):
        return "several images in one cell; a case has one"
    if len(set(images)) != len(images):
        return f"{images[0].name} is more than one channel at once"
    if split and split.lower() not in SPLIT_NAMES:
        return f"unknown split '{split}'; {did_you_mean(split.lower(), SPLIT_NAMES)}"
    for file in (*images, *masks):
        if not image_suffix(file) and not volume_suffix(file) and Address.parse(file) is None:
            return f"{file.name} is not an image that can be read; {what_is_read()}"
    both = next((file for file in images if file in masks), None)
    if both is not None:
        return f"{both.name} is image and mask at once"
    return ""


def _cases(root: Path, rows: Sequence[Row], files: Sequence[list[list[Path]]]) -> list[Case]:
    first = [pair[0][0] for pair in files]
    stems = [_common(pair[0]) for pair in files]
    drawn = unique_names(
        [(normal(stem), image.relative_to(root).parts[:-1]) for stem, image in zip(stems, first, strict=True)]
    )
    given = [normal(row.get("id", "")) for row in rows]
    names = given if all(given) and len(set(given)) == len(given) else drawn
    listed = any(row.get("split") for row in rows)
    return [
        Case(
            id=name,
            images=tuple(image.relative_to(root).as_posix() for image in images),
            masks=tuple(mask.relative_to(root).as_posix() for mask in masks),
            group=row.get("group") or None,
            split=_split(row, bool(masks), listed),
            domain=row.get("domain") or None,
        )
        for name, row, (images, masks) in zip(names, rows, files, strict=True)
    ]


def _grouped(cases: list[Case], path: Path) -> tuple[list[Case], str, list[Finding]]:
    """The table's groups, or else those that the names tell of."""
    groups = {case.group for case in cases if case.group}
    if not groups:
        return with_groups(cases)
    bare = sum(case.group is None for case in cases)
    rest = f"; {count(bare, 'case')} without" if bare else ""
    return cases, f"{count(len(groups), 'group')} of {path.name}{rest}", []


def _split(row: Row, labeled: bool, listed: bool) -> Split | None:
    if row.get("split"):
        return SPLIT_NAMES[row["split"].lower()]
    return "train" if listed and not labeled else None


def _common(images: Sequence[Path]) -> str:
    """What the names of a case's files begin with, up to a separator: `p1_t1.png`, `p1_t2.png` → p1. Of one file its stem."""
    return common_start([_stem(image) for image in images])


def _stem(path: Path) -> str:
    address = Address.parse(path)
    return file_stem(path) if address is None else address.name
