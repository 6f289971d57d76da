"""`data check --fix`: a clean copy of a data set, with a log of every change. The source is only read."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.csv_text import csv_text
from delineate.common.errors import DataError
from delineate.common.files import new_folder, write_text
from delineate.data.cases.pixels import case_image, case_mask, open_file
from delineate.data.core.findings import some
from delineate.data.core.label_table import regions_text
from delineate.data.core.manifest import IGNORE, Case, ClassTable, LabelRule, Manifest, Split
from delineate.data.core.mask_values import count_values
from delineate.data.doctor.check import CheckReport
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.dicom.names import cover_of
from delineate.data.formats.images import write_image, write_mask
from delineate.data.formats.orientation import UPRIGHT
from delineate.data.formats.registry import image_suffix, reader_of

__all__ = ["CHANGES_FILE", "COLUMNS", "LABELS", "Change", "Fixed", "check_target", "write_fixed"]

CHANGES_FILE = "changes.csv"
LABELS = "labels.yaml"
COLUMNS = ("file", "change", "to", "reason")
_KEPT_FIRST: tuple[Split | None, ...] = ("test", "val", "train", None)
"""Of equal pictures the one whose split comes first stays: the training cases go."""


@dataclass(frozen=True)
class Change:
    """One line of the log. `file` is relative to the source, `to` to the clean copy (empty for what was left out)."""

    file: str
    change: str
    to: str
    reason: str


@dataclass(frozen=True)
class Fixed:
    """A clean copy."""

    folder: Path
    cases: int
    changes: list[Change] = field(default_factory=list)


def check_target(source: Path, out: Path) -> None:
    """Raise `DataError` unless `out` is absent or an empty folder, outside of the source."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"--fix {out}: the folder is not empty; give another one")
    if out.resolve().is_relative_to(source.resolve()):
        raise DataError(f"--fix {out} lies inside {source}, which is never changed; give a folder outside of it")


def write_fixed(report: CheckReport, out: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Fixed:
    """Write what is sound into `out`: `images/` (copied byte for byte, but as PNG where EXIF turns them), `masks/` (PNG, 0/255 or
    class indices), split lists.

    Left out: files without partner, cases that cannot be read or are ambiguous, and all but one of pixel-equal pictures, of
    which training cases go first. `changes.csv` names everything that differs from the source. The folder appears when it is
    complete. Raises `DataError` for a target as in `check_target`, and when no label rule fits the masks.
    """
    manifest = report.manifest
    check_target(report.folder if manifest is None else Path(manifest.root), out)
    if manifest is None or report.proposed is None:
        reason = next((str(finding) for finding in report.findings if finding.severity == "error"), "no masks")
        raise DataError(f"--fix: there is nothing to write a clean copy from: {reason}")
    if manifest.channels:
        raise DataError(
            f"--fix: the images of {report.folder} lie in {len(manifest.channels)} files each ({', '.join(manifest.channels)}), "
            "of which no clean copy can be written yet; mend the files that `delineate data check` names"
        )
    if report.census.axis is not None:
        raise DataError(
            f"--fix writes clean copies of pictures, and {report.folder} holds volumes: mend the files themselves"
        )
    manifest = manifest.model_copy(update={"labels": report.proposed})
    cases, changes = _chosen(report, manifest)
    if not cases:
        raise DataError(f"--fix: none of the cases in {report.folder} can be kept; see `delineate data check`")
    with new_folder(out) as building:
        for case in cases:
            changes += _write_case(manifest, case, building, max_pixels)
        changes += _write_lists(manifest, cases, building)
        changes += _write_names(manifest, building)
        _write_log(building / CHANGES_FILE, changes, cover_of(manifest))
    return Fixed(out, len(cases), changes)


def _chosen(report: CheckReport, manifest: Manifest) -> tuple[list[Case], list[Change]]:
    """The cases to keep, and a line for every file that is left out."""
    changes = []
    out: dict[str, str] = {}
    for members in report.duplicates.exact:
        first, *others = sorted(members, key=lambda case: (_KEPT_FIRST.index(case.split), case.id))
        for case in others:
            out[case.id] = (
                f"equals {first.id} ({first.split or 'unused'}), pixel for pixel{_mask_note(manifest, first, case)}"
            )
    out |= {case.id: why for case in manifest.cases if (why := _ambiguity(manifest, case))}
    kept = [case for case in manifest.cases if case.id not in out]
    for case in manifest.cases:
        if case.id in out:
            changes += [Change(file, "left out", "", out[case.id]) for file in (*case.images, *case.masks)]
    known = {file for case in manifest.cases for file in (*case.images, *case.masks)}
    reason = "without partner, or it cannot be read: see `delineate data check`"
    changes += [Change(file, "left out", "", reason) for file in _image_files(Path(manifest.root)) if file not in known]
    return kept, changes


def _mask_note(manifest: Manifest, first: Case, second: Case) -> str:
    """Equal pictures with unequal masks are worth a word: one of the masks is wrong."""
    one, other = (case_mask(manifest, case) for case in (first, second))
    if one is None or other is None or np.array_equal(one, other):
        return ""
    return f"; their masks differ{'' if one.any() and other.any() else ', one is empty'}"


def _ambiguity(manifest: Manifest, case: Case) -> str:
    """Why it cannot be told which files make the case; '' where it can."""
    image = manifest.path(case.images[0])
    rivals = [path.name for path in image.parent.glob(f"{_escaped(image.stem)}.*") if image_suffix(path)]
    if len(rivals) > 1:
        return f"several files of one name: {some(sorted(rivals))}"
    return ""


def _escaped(stem: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)


def _image_files(root: Path) -> list[str]:
    files = (path for path in sorted(root.rglob("*")) if image_suffix(path))
    return [path.relative_to(root).as_posix() for path in files if not path.name.startswith(".") and path.is_file()]


def _write_case(manifest: Manifest, case: Case, out: Path, max_pixels: int) -> list[Change]:
    changes = _write_image(manifest, case, out, max_pixels)
    mask = case_mask(manifest, case, max_pixels=max_pixels)
    if mask is None:
        return changes
    name = f"masks/{case.id}.png"
    values = _written_values(manifest, mask)
    write_mask(out / name, values)
    if len(case.masks) > 1:
        return [*changes, *(Change(file, "merged", name, "several masks of one image") for file in case.masks)]
    why = _difference(manifest, case, values, max_pixels)
    return [*changes, *([Change(case.masks[0], "re-encoded", name, why)] if why else _moved(case.masks[0], name))]


def _write_image(manifest: Manifest, case: Case, out: Path, max_pixels: int) -> list[Change]:
    """The image's file as it is; one in a packed file, or turned by EXIF, as PNG with the pixels that training sees."""
    source = case.images[0]
    folder = "images" if case.masks else "unlabeled"
    packed = reader_of(manifest.path(source)).kind == "packed"
    turned = open_file(manifest, case, source, max_pixels=max_pixels).orientation != UPRIGHT
    image = f"{folder}/{case.id}{'.png' if packed or turned else Path(source).suffix}"
    (out / folder).mkdir(parents=True, exist_ok=True)
    if not packed and not turned:
        shutil.copyfile(manifest.path(source), out / image)
        return _moved(source, image)
    pixels = case_image(manifest, case, max_pixels=max_pixels)
    if pixels.dtype.kind == "f":
        raise DataError(f"--fix: {source} is turned by its EXIF orientation, and PNG holds no floats; save it upright")
    write_image(out / image, pixels)
    why = (
        "turned as its EXIF orientation says" if turned else "a picture of its own, with the pixels that training sees"
    )
    return [Change(source, "re-encoded", image, why)]


def _moved(source: str, target: str) -> list[Change]:
    if source == target:
        return []
    if Path(source).name != Path(target).name:
        return [Change(source, "renamed", target, "one name for image and mask")]
    return [Change(source, "moved", target, "images/ and masks/ in one place")]


def _written_values(manifest: Manifest, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class indices as they are written: 0 and 255 for one foreground class, unless some pixels of the set are ignored."""
    if len(manifest.classes.names) > 2 or IGNORE in (manifest.labels.values or {}).values():
        return mask
    return mask * np.uint8(255)


def _difference(manifest: Manifest, case: Case, written: NDArray[np.uint8], max_pixels: int) -> str:
    """What writing has changed in a case's only mask; '' when nothing."""
    path = manifest.path(case.masks[0])
    file = open_file(manifest, case, case.masks[0], max_pixels=max_pixels)
    raw = file.labels().as_coded(manifest.labels.coding, path)
    if not np.array_equal(raw, written):
        if manifest.labels.coding == "color":
            return "colors → class indices"
        return f"values {_span(count_values(raw))} → {_span(count_values(written))} ({_rule(manifest.labels)})"
    if reader_of(path).kind == "packed":
        return "labels → .png, the same values"
    return "" if path.suffix.lower() == ".png" else f"{path.suffix} → .png, the same values"


def _span(values: dict[int, int]) -> str:
    found = list(values)
    return ", ".join(map(str, found)) if len(found) <= 6 else f"{found[0]}…{found[-1]} ({len(found)} values)"


def _rule(rule: LabelRule) -> str:
    return f"{rule.threshold} and above is foreground" if rule.threshold is not None else "the data set's label rule"


def _write_lists(manifest: Manifest, cases: Sequence[Case], out: Path) -> list[Change]:
    """Lists of the splits that the source brings; a split that would be drawn is left to be drawn."""
    if manifest.split_origin.partition(":")[0] in ("", "seeded"):
        return []
    drawn = "val" if "; val seeded" in manifest.split_origin else ""
    names: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if case.split is not None and case.masks:
            names["train" if case.split == drawn else case.split].append(case.id)
    changes = []
    for split, ids in names.items():
        file = f"{split}.txt"
        write_text(out / file, "".join(f"{name}\n" for name in ids))
        before = Path(manifest.root) / file
        if not before.is_file():
            changes.append(Change("", "added", file, f"splits: {manifest.split_origin}"))
        elif left := [
            name for name in before.read_text(encoding="utf-8-sig").splitlines() if name and name not in set(ids)
        ]:
            changes.append(Change(file, "rewritten", file, f"without {some(left)}"))
    return changes


def _write_names(manifest: Manifest, out: Path) -> list[Change]:
    """A labels.yaml where classes have names of their own, or more than two: what the written values mean."""
    names = manifest.classes.names
    if names == ClassTable().names:
        return []
    binary = len(names) == 2 and IGNORE not in (manifest.labels.values or {}).values()
    lines = [
        f"  {json.dumps(name, ensure_ascii=False, allow_nan=False)}: {at * 255 if binary else at}\n"
        for at, name in enumerate(names)
    ]
    ignored = [] if binary else [f"  ignore: {IGNORE}\n"]
    write_text(out / LABELS, "".join(["labels:\n", *lines, *ignored, regions_text(manifest.classes)]))
    return [Change("", "added", LABELS, "what the values of the masks mean")]


def _write_log(path: Path, changes: Sequence[Change], cover: Callable[[str], str]) -> None:
    """`cover`: hides the names of DICOM's folders and files."""
    lines = ((cover(one.file), one.change, one.to, cover(one.reason)) for one in changes)
    write_text(path, csv_text(COLUMNS, lines))
