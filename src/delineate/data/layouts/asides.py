"""What lies beside a data set and may say how to divide it, in a form that is not read: told, so that a published split is not lost
without a word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, some
from delineate.data.core.words import SPLIT_NAMES, tokens_of
from delineate.data.layouts.split_lists import NESTED
from delineate.data.layouts.tree import Tree
from delineate.data.layouts.unread import tables_of

__all__ = ["told_aside"]

_SUFFIXES = frozenset({".txt", ".lst", ".list", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xlsx"})
_DIVIDING = frozenset({*SPLIT_NAMES, "split", "splits", "fold", "folds", "partition", "partitions"})
_FILLERS = (
    *("list", "lists", "id", "ids", "name", "names", "file", "files", "filenames", "index", "indices", "of", "and"),
    *("set", "sets", "data", "dataset", "image", "images"),
    *("case", "cases", "patient", "patients", "subject", "subjects"),
)
"""What else is in the name of a file that divides a set: `train_list.txt`, `split_patients.json`."""
_COLUMNS = frozenset({"split", "fold", "set", "subset", "partition"})
_PEOPLE = re.compile(r"(?:patient|subject|person|lesion|sequence|video|study)(?:[-_ ]?(?:id|name|number|no|code))?")
_DEPTH = 2
"""Folders within folders in which such files are looked for."""
_MOST = 200
"""Files that are looked at."""


def told_aside(tree: Tree, divided: bool, grouped: bool) -> list[Finding]:
    """A warning of files that seem to divide the set, where nothing else does; a note of tables that tell of patients, where no
    names do. Reads the first lines of tables."""
    known = tables_of(tree)  # these are told of by themselves
    paths = [path for path in tree.others[:_MOST] if path not in known and path.suffix.lower() in _SUFFIXES]
    paths = [path for path in paths if len(path.relative_to(tree.root).parts) <= _DEPTH and not _is_list(path)]
    columns = {path: _columns_of(path) for path in paths if path.suffix.lower() in (".csv", ".tsv")}
    findings = []
    if not divided and (lists := [path for path in paths if _divides(path) or columns.get(path, set()) & _COLUMNS]):
        what = "file beside the images seems" if len(lists) == 1 else "files beside the images seem"
        text = f"{len(lists)} {what} to say which case is for what, and a split is drawn instead: {_shown(tree, lists)}"
        cure = (
            "write the names into train.txt, val.txt and test.txt there, one in each line, or give a table with the columns image, "
            "mask and split"
        )
        findings.append(Finding("warning", text, cure))
    if not grouped:
        people = {path: next((name for name in each if _PEOPLE.fullmatch(name)), "") for path, each in columns.items()}
        for path, name in people.items():
            if columns[path] >= {"case", "group"}:
                text = f"{_shown(tree, [path])} says what belongs together, and is not used"
                findings.append(Finding("note", text, f"--group-by {path} uses it"))
            elif name and len(columns[path]) > 1:
                text = f"{_shown(tree, [path])} has a column '{name}', which is not read, and no names tell what belongs together"
                findings.append(Finding("note", text, "say it with --group-by and a CSV file: case,group"))
    return findings


def _is_list(path: Path) -> bool:
    """Whether it is one that is read, or told of as a list."""
    return path.parent.name.lower() in NESTED and path.suffix.lower() == ".txt" and path.stem.lower() in SPLIT_NAMES


def _divides(path: Path) -> bool:
    words = [word for word in tokens_of(path.stem) if not word.isdigit()]
    return any(word in _DIVIDING for word in words) and all(word in _DIVIDING or word in _FILLERS for word in words)


def _columns_of(path: Path) -> set[str]:
    """Names in the first line, in lower case."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            heading = file.readline(10_000)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return {name.strip().strip('"').lower() for name in re.split("[,;\t]", heading)}


def _shown(tree: Tree, paths: Sequence[Path]) -> str:
    return some([path.relative_to(tree.root).as_posix() for path in paths], 3)
