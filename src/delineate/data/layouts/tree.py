"""The files of a data set's folder, whatever their kind: one walk, which looks after links, hidden files and strange names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.words import normal, printable
from delineate.data.formats.registry import (
    faults,
    file_stem,
    image_suffix,
    is_picture_folder,
    reads_volume,
    volume_suffix,
)

__all__ = ["DEPTH", "File", "Tree", "image_files", "lost_links", "volume_files", "walk"]

_TEXTS = (".txt", ".csv", ".tsv", ".json", ".md", ".yaml", ".yml", ".xml", ".html", ".pdf", ".xlsx")
"""Endings of files that lie beside images and are none."""
_OF_SYSTEMS = frozenset({"@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"})
"""Folders that storage systems put anywhere, with small copies and deleted files in them."""
DEPTH = 7
"""Folders within folders that are looked into."""


@dataclass(frozen=True)
class File:
    """A file of a data set."""

    path: Path
    parts: tuple[str, ...]
    """Names of the folders from the root to it."""
    stem: str
    """Its name without suffix, as names are compared (`words.normal`)."""


@dataclass
class Tree:
    """What lies in a folder. Hidden files and folders are left out."""

    root: Path
    images: list[File] = field(default_factory=list)
    volumes: list[File] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    """Files that are neither."""
    folders: list[tuple[str, ...]] = field(default_factory=list)
    """Folder names from the root, in the order of the walk."""
    findings: list[Finding] = field(default_factory=list)
    """Links that lead nowhere, names that cannot be written down, and files that a format which fails may be for."""


def walk(root: Path, depth: int = DEPTH) -> Tree:
    """Look through a folder and its folders, sorted by name. Links are followed, circles of links once.

    Raises `DataError` for a folder that cannot be read.
    """
    tree, lost, strange = Tree(root), [], []
    try:
        for path, parts in _entries(root, (), depth, {os.path.realpath(root)}):
            if not _is_utf8(path.name):
                strange.append(path)
            elif is_picture_folder(path):
                _add(tree, path, parts)
            elif path.is_dir():
                tree.folders.append((*parts, normal(path.name)))
            elif not path.is_file():
                lost.append(path)
            else:
                _add(tree, path, parts)
    except OSError as error:
        where = error.filename or root
        raise DataError(f"cannot read {where}: {error.strerror}; check the folder's permissions") from error
    tree.findings = [*_findings(root, lost, strange), *_of_broken_formats(tree)]
    return tree


def image_files(folder: Path) -> list[Path]:
    """The files of pictures directly in a folder, sorted by name; hidden files and stacks are left out."""
    return sorted(path for path in folder.iterdir() if image_suffix(path) and _visible(path) and not reads_volume(path))


def lost_links(folder: Path) -> list[Path]:
    """The links directly in a folder that are called images or volumes and lead nowhere."""
    names = (path for path in sorted(folder.iterdir()) if image_suffix(path) or volume_suffix(path))
    return [path for path in names if not path.exists() and not path.name.startswith(".")]


def volume_files(folder: Path) -> list[Path]:
    """The files directly in a folder whose name is that of a volume format, and TIFF stacks."""
    return sorted(path for path in folder.iterdir() if (volume_suffix(path) or _is_stack(path)) and _visible(path))


def _entries(
    folder: Path, parts: tuple[str, ...], depth: int, seen: set[str]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    with os.scandir(folder) as found:
        names = sorted(entry.name for entry in found if not entry.name.startswith((".", "__")))
    names = [name for name in names if name.lower() not in _OF_SYSTEMS]
    for name in names:
        path = folder / name
        yield path, parts
        inner = depth and _is_utf8(name) and path.is_dir() and not is_picture_folder(path)
        if inner and (real := os.path.realpath(path)) not in seen:
            yield from _entries(path, (*parts, normal(name)), depth - 1, {*seen, real})


def _add(tree: Tree, path: Path, parts: tuple[str, ...]) -> None:
    if image_suffix(path) and not reads_volume(path):
        tree.images.append(File(path, parts, normal(file_stem(path))))
    elif volume_suffix(path) or image_suffix(path):
        tree.volumes.append(File(path, parts, normal(file_stem(path))))
    else:
        tree.others.append(path)


def _findings(root: Path, lost: list[Path], strange: list[Path]) -> list[Finding]:
    findings = []
    wanted = [path for path in lost if image_suffix(path) or volume_suffix(path) or not path.suffix]
    if wanted:
        names = [f"{path.relative_to(root)} → {printable(_target(path))}" for path in wanted]
        text = f"{count(len(wanted), 'link leads', 'links lead')} nowhere: {some(names, 3)}"
        findings.append(Finding("error", text, "restore what they point to, or remove them"))
    if strange:
        names = [printable(path.relative_to(root)) for path in strange]
        text = f"{count(len(strange), 'name is', 'names are')} not UTF-8: {some(names, 3)}"
        findings.append(Finding("error", text, "rename them; manifests and tables are written in UTF-8"))
    return findings


def _of_broken_formats(tree: Tree) -> list[Finding]:
    """Formats of other packages that cannot be used, where there are files that may be theirs."""
    passed = [str(path.relative_to(tree.root)) for path in tree.others if path.suffix.lower() not in ("", *_TEXTS)]
    if not (passed and faults()):
        return []
    text = f"{count(len(passed), 'file')} of no format that can be read here ({some(passed, 3)}) passed over; {'; '.join(faults())}"
    return [Finding("warning", text, "mend or uninstall the package that brings the format")]


def _target(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - what the link says, not what it resolves to
    except OSError:
        return "?"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_stack(path: Path) -> bool:
    return bool(image_suffix(path)) and reads_volume(path)


def _visible(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_file() or is_picture_folder(path))
