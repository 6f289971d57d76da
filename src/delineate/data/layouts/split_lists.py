"""Lists beside the images, one case's name in each line: `train.txt`, `val.txt`, `test.txt` say who is where, `unlabeled.txt`
whose masks are not used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case, Split
from delineate.data.core.words import SPLIT_NAMES, UNLABELED, normal
from delineate.data.formats.archives import packed_stem
from delineate.data.formats.frames import without_frame
from delineate.data.formats.registry import image_suffix, volume_suffix

__all__ = [
    "NESTED",
    "VOC_LISTS",
    "Names",
    "apply_lists",
    "drop_masks",
    "has_lists",
    "left_out_by_voc",
    "names_of",
    "read_lists",
]

Names = Mapping[str, Sequence[str]]
"""What a list may say → ids of the cases it means."""

VOC_LISTS = "ImageSets/Segmentation"
"""Where Pascal VOC keeps its lists."""
NESTED = ("imagesets", "splits", "split", "lists")
"""Folders in which lists lie where there are none beside the images; in lower case."""
_COLUMNS = re.compile(r"[\t,;]| (?=\S+$)")
"""What stands between the names of an image and its mask in one line."""


def apply_lists(root: Path, cases: Sequence[Case]) -> tuple[list[Case], list[Finding]]:
    """The cases with the splits of the lists in `root`; unchanged when there are none.

    Without a train list, all cases that no list names are for training; with one, they are left out. Those that
    `unlabeled.txt` names are for training, without their masks.
    """
    files = [path for folder in (root, *_voc_lists(root)) for path in sorted(folder.glob("*.txt")) if path.is_file()]
    lists = {path: split for path in files if (split := SPLIT_NAMES.get(path.stem.lower()))}
    names = names_of(cases)
    cases, findings = drop_masks([path for path in files if path.stem.lower() in UNLABELED], cases, names)
    if not lists:
        lists, faults = _nested_lists(root, names)
        findings += faults
    if not lists:
        return cases, findings
    found, faults = read_lists(lists, names, one_each=True)
    rest: Split | None = None if "train" in lists.values() else "train"
    splits = {case.id: found.get(case.id, rest if case.masks else "train") for case in cases}
    unlisted = [name for name, split in splits.items() if split is None]
    if unlisted:
        faults.append(
            Finding("note", f"{count(len(unlisted), 'case is', 'cases are')} in no list and not used: {some(unlisted)}")
        )
    return [case.model_copy(update={"split": splits[case.id]}) for case in cases], findings + faults


def _nested_lists(root: Path, names: Names) -> tuple[dict[Path, Split], list[Finding]]:
    """The lists in a folder `splits`, `lists` or `ImageSets` of the root, where one folder has some and they name nothing but cases
    of the set; else a warning that they are not used."""
    inner = [path for path in sorted(root.iterdir()) if path.name.lower() in NESTED and path.is_dir()]
    held = [
        {
            path: SPLIT_NAMES[path.stem.lower()]
            for path in sorted(each.glob("*.txt"))
            if path.stem.lower() in SPLIT_NAMES
        }
        for each in inner
    ]
    held = [lists for lists in held if lists]
    if not held:
        return {}, []
    shown = some([path.relative_to(root).as_posix() for lists in held for path in lists], 3)
    why = "they lie in several folders"
    if len(held) == 1:
        try:
            _, faults = read_lists(held[0], names, one_each=True)
        except DataError as error:
            why = str(error)
        else:
            if not faults:
                return held[0], []
            why = faults[0].text
    cure = "put lists of names that are here beside the images: train.txt, val.txt, test.txt"
    return {}, [Finding("warning", f"{shown} not used: {why}", cure)]


def _voc_lists(root: Path) -> list[Path]:
    """The folder of Pascal VOC's lists, in the root or in one of its folders (`VOCdevkit/VOC2012`), if there is one alone."""
    found = [path for above in ("", "*/", "*/*/") for path in root.glob(above + VOC_LISTS) if path.is_dir()]
    return found if len(found) == 1 else []


def left_out_by_voc(root: Path, stems: Iterable[str]) -> set[str]:
    """Of images' names, those that no list of Pascal VOC has: most of its images are of other tasks and have no mask."""
    names: set[str] = set()
    for folder in _voc_lists(root):
        for path in folder.glob("*.txt"):
            names.update(
                line.split()[0]
                for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
                if line.strip()
            )
    return {stem for stem in stems if stem not in names} if names else set()


def names_of(cases: Sequence[Case]) -> Names:
    """All that a list may call a case: its id, or the path of one of its files, without suffix, from any folder on."""
    names: dict[str, list[str]] = {}
    for case in cases:
        for file in (*case.images, *case.masks):
            for tail in _tails(_without_suffix(file)):
                ids = names.setdefault(tail, [])
                ids += [] if case.id in ids else [case.id]
    return names | {case.id: [case.id] for case in cases}


def has_lists(root: Path) -> list[str]:
    """The names of the split lists in a folder."""
    return [path.name for path in sorted(root.glob("*.txt")) if path.stem.lower() in SPLIT_NAMES]


def read_lists(
    lists: Mapping[Path, Split], names: Names, *, one_each: bool = False
) -> tuple[dict[str, Split], list[Finding]]:
    """Case id → split, of the cases that the lists name; errors for unknown names, and for names in lists of two splits.

    `one_each`: a name that means several cases is an error, too (else all of them are meant: the slices of a volume).
    """
    findings: list[Finding] = []
    found: dict[str, tuple[Split, Path]] = {}
    # What is in two lists stays out of training, should the fault be passed over.
    for path, split in sorted(lists.items(), key=lambda item: ("test", "val", "train").index(item[1])):
        ids, faults = _listed(path, names, one_each=one_each)
        findings += faults
        twice = [name for name in ids if name in found and found[name][0] != split]
        if twice:
            lists_named = " and ".join(sorted((found[twice[0]][1].name, path.name)))
            text = f"{count(len(twice), 'name is', 'names are')} in two lists, {lists_named}: {some(twice)}"
            findings.append(Finding("error", text, "keep each name in one list"))
        found |= {name: (split, path) for name in ids if name not in found}
    return {name: split for name, (split, _) in found.items()}, findings


def drop_masks(lists: Sequence[Path], cases: Sequence[Case], names: Names) -> tuple[list[Case], list[Finding]]:
    """The cases, those that the lists name without their masks."""
    named: set[str] = set()
    findings = []
    for path in lists:
        ids, faults = _listed(path, names)
        named.update(ids)
        findings += faults
        text = f"{count(len(ids), 'training image is', 'training images are')} used without masks, as {path.name} says"
        findings.append(Finding("note", text))
    bare = {"masks": (), "raters": (), "split": "train"}
    return [case.model_copy(update=bare) if case.id in named else case for case in cases], findings


def _listed(path: Path, names: Names, *, one_each: bool = False) -> tuple[list[str], list[Finding]]:
    """The ids that a list means, and an error for what it names in vain."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the list {path}: {error}; save it as UTF-8 text with one name in each line"
        ) from error
    findings: list[Finding] = []
    found: list[str] = []
    unknown, unclear = [], []
    for line in filter(None, map(str.strip, lines)):
        known = next((form for form in _forms(line) if form in names), None)
        if known is None:
            unknown += [] if line.startswith("#") else [line]  # a name may begin with it; all else is a remark
        elif one_each and len(names[known]) > 1:
            unclear.append(f"{line} ({' or '.join(names[known][:3])})")
        else:
            found += names[known]
    if unknown:
        unknown = list(dict.fromkeys(unknown))
        text = f"{path} lists {count(len(unknown), 'name')} without image and mask: {some(unknown)}"
        findings.append(Finding("error", text, "correct the list or add the files"))
    if unclear:
        text = f"{path} lists {count(len(unclear), 'name')} of several cases: {some(unclear, 3)}"
        findings.append(Finding("error", text, "write the path of the image instead"))
    return list(dict.fromkeys(found)), findings


def _forms(line: str) -> Iterator[str]:
    """How a line may be meant: as it is; as a path, from any of its folders on; as an image's and a mask's name side by side."""
    for part in (line, _COLUMNS.split(line)[0].strip()):
        yield normal(part)
        path = part.replace("\\", "/")
        yield from _tails(normal(path))
        yield from _tails(_without_suffix(path))


def _tails(path: str) -> Iterator[str]:
    """A path, and what is left of it without its first folders."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/".join(parts[at:]) for at in range(len(parts)))


def _without_suffix(path: str) -> str:
    """Lists often hold file names or paths instead of stems."""
    name = Path(path := without_frame(path))
    packed = packed_stem(name)
    if packed:
        return normal(name.with_name(packed).as_posix())
    suffix = volume_suffix(name) or (name.suffix if image_suffix(name) else "")
    return normal(path[: -len(suffix)] if suffix else path)
