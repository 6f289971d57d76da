"""What a user gives as data: a folder, a manifest or a table, and what they say of it. Every verb takes one of these."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.findings import count
from delineate.data.core.grouping import EACH, describe_rule, group_cases
from delineate.data.core.label_files import find_labels
from delineate.data.core.label_table import parse_labels
from delineate.data.core.manifest import Manifest
from delineate.data.formats.containers import is_archive
from delineate.data.formats.dicom_masks.codes import CodeTable, read_codes
from delineate.data.layouts.annotations.found import Unmarked
from delineate.data.layouts.dicom_classes import check_named, without_background
from delineate.data.layouts.dicom_codes import coded
from delineate.data.layouts.dicom_labels import LAYOUT as DICOM_MASKS
from delineate.data.layouts.discover import discover
from delineate.data.layouts.tables import manifest_of_table
from delineate.data.layouts.unpacked import unpacked

__all__ = ["DataSource", "Join", "as_source"]

Join = Literal["near", "exact", "none"]
"""Which copies of a picture belong into one split: near duplicates too, equal pictures alone, or neither."""


@dataclass(frozen=True)
class DataSource:
    """A dataset, with what its files alone do not say. Every function of the library that takes `data` takes one of these.

    Example:
        >>> source = delineate.DataSource("polyps", labels="0=background,255=polyp")
        >>> manifest = source.manifest()
        >>> len(manifest.cases), manifest.classes.names
        (8, ('background', 'polyp'))
    """

    path: Path
    """A folder of images and masks, a packed file (.npz, HDF5), a manifest.json, or a CSV file with the columns `image` and `mask`;
    also a zip or tar file of one of these, which `as_source` unpacks."""
    images: str | None = None
    """The folder of images: its name inside `path`, or a path. None: found by its name."""
    masks: str | None = None
    """The folder of masks, likewise; or annotation files; or a folder for each class: `wall=masks/wall,cavity=masks/cavity`."""
    labels: str | None = None
    """What the raw values of the masks mean: `0=background,255=lesion`, or the path of a labels.yaml. None: read from the
    masks."""
    group_by: str | None = None
    """Which cases belong to one patient: a regular expression on names, a CSV file (case,group), or "none". None: found from
    folders and names."""
    join: Join = "near"
    """Which copies of an image stay in one split: near duplicates and equal images, equal images only, or none."""
    unmarked: Unmarked | None = None
    """For annotation files: whether images without any annotation are `background` or `unlabeled`. None: as their format
    defines it."""
    codes: str | None = None
    """A file that says in codes what the classes are, in its own form or dcmqi's. Segments of DICOM masks are told by their codes
    then, unless `labels` names them, and the codes go along into models. None: labels tell classes."""
    archive: Path | None = None
    """What `path` was unpacked from."""

    def __post_init__(self) -> None:
        """Take paths as text and text as paths, as Python's users give them. Raises `DataError` for an unknown `join`."""
        object.__setattr__(self, "path", Path(self.path))
        for name in ("images", "masks", "labels", "group_by", "codes"):
            value = getattr(self, name)
            object.__setattr__(self, name, os.fspath(value) if isinstance(value, os.PathLike) else value)
        if self.join not in get_args(Join):
            raise DataError(f"unknown join '{self.join}': {did_you_mean(str(self.join), get_args(Join))}")
        if self.unmarked is not None and self.unmarked not in get_args(Unmarked):
            raise DataError(
                f"unknown --unmarked '{self.unmarked}': {did_you_mean(str(self.unmarked), get_args(Unmarked))}"
            )

    @property
    def is_manifest(self) -> bool:
        """Whether this is a manifest that was saved before."""
        return self.path.suffix.lower() == ".json" and self.path.is_file()

    @property
    def is_table(self) -> bool:
        """Whether this is a CSV file that lists the cases."""
        return self.path.suffix.lower() == ".csv"

    def manifest(self) -> Manifest:
        """List the cases, without reading their pixels.

        Returns:
            The manifest that was saved, or that of the folder, with the labels and groups of this source.

        Raises:
            DataError: No known layout; labels or groups that do not fit; options that contradict a manifest or a table.
        """
        self.check()
        if self.is_manifest:
            manifest = Manifest.load(self.path)
        elif self.is_table:
            manifest = manifest_of_table(self.path)
        else:
            manifest = discover(self.path, self.images, self.masks, self.unmarked, self.telling_codes)
        manifest = manifest.model_copy(update={"notes": (*self.notes, *manifest.notes)})
        return self.named(self.grouped(manifest))

    @property
    def folder(self) -> Path:
        """What the paths of the cases are relative to: the folder, or that of a table or a packed file. A manifest says its own."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def notes(self) -> tuple[str, ...]:
        """How an archive was read, in a line; none of what is no archive."""
        return () if self.archive is None else (f"{self.archive.name} was unpacked into {self.path}",)

    @property
    def telling_codes(self) -> CodeTable | None:
        """What tells the classes of DICOM masks by their codes; None where labels do. Raises `DataError` for a file that cannot be
        read."""
        return None if self.codes is None or self.labels is not None else read_codes(Path(self.codes))

    def coded(self, manifest: Manifest) -> Manifest:
        """Add what `codes` says of the classes.

        Args:
            manifest: Of this source, whose masks have been read, so that the names of its classes are known.

        Returns:
            The manifest with the codes of its classes; unchanged without `codes`.

        Raises:
            DataError: The file of codes lacks a class.
        """
        if self.codes is None:
            return manifest
        classes = coded(manifest.classes, read_codes(Path(self.codes)))
        return manifest.model_copy(update={"classes": classes})

    def named(self, manifest: Manifest) -> Manifest:
        """Name the classes: by `labels`, or by a table of labels beside masks that were not read yet.

        Args:
            manifest: Cases of this source.

        Returns:
            The manifest with its class table.

        Raises:
            DataError: The table of labels cannot be read; classes of DICOM masks whose names tell nothing.
        """
        if self.labels is not None:
            table = parse_labels(self.labels)
        else:
            read = any(case.hashes for case in manifest.cases)
            known = manifest.classes.labels is not None
            found = None if read else find_labels(Path(manifest.root), of_tools=not known)
            if found is None:
                if manifest.layout == DICOM_MASKS and not read:
                    check_named(manifest.classes)
                return manifest
            table = found
        manifest = manifest.model_copy(update={"classes": table.classes})
        fresh = manifest.layout == DICOM_MASKS and not any(case.hashes for case in manifest.cases)
        return without_background(manifest) if fresh else manifest

    def grouped(self, manifest: Manifest) -> Manifest:
        """Apply `group_by`.

        Args:
            manifest: Cases of this source.

        Returns:
            The manifest with its groups; unchanged without `group_by`.

        Raises:
            DataError: The rule does not fit the names of the cases.
        """
        if self.group_by is None:
            return manifest
        groups: dict[str, str] = {}
        words = ""
        if self.group_by != EACH:
            groups = group_cases(self.group_by, [case.id for case in manifest.cases])
            words = f"{count(len(set(groups.values())), 'group')}, {describe_rule(self.group_by)}"
        cases = tuple(case.model_copy(update={"group": groups.get(case.id)}) for case in manifest.cases)
        return manifest.model_copy(update={"cases": cases, "grouping": words, "leaks": None})

    def check(self) -> None:
        """Check that the options fit what `path` is.

        Raises:
            DataError: An option has no meaning for a manifest or a table; an annotation file is given without its folder; the file
                of codes cannot be read.
        """
        if self.codes is not None:
            read_codes(Path(self.codes))
        if self.is_manifest and _is_of_outlines(self.path):
            raise DataError(
                f"{self.path} holds outlines and is no manifest; give the folder that holds it and the images, with --masks "
                f"{self.path.name}"
            )
        if self.is_manifest or self.is_table:
            said = {"--images": self.images, "--masks": self.masks, "--unmarked": self.unmarked}
            given = [name for name, value in said.items() if value]
            if given:
                what = "a manifest" if self.is_manifest else "a table"
                raise DataError(f"{self.path} is {what}, which names every file; leave out {' and '.join(given)}")


def as_source(data: Path | str | DataSource, announce: Callable[[str], None] = lambda _: None) -> DataSource:
    """A path as a source of which nothing is said; a source as it is. A zip or tar file becomes the folder with its files.

    `announce`: told before anything is unpacked. Raises `DataError` for an archive that cannot be unpacked.
    """
    source = data if isinstance(data, DataSource) else DataSource(Path(data))
    if source.archive is None and is_archive(source.path) and source.path.is_file():
        return replace(source, path=unpacked(source.path, announce), archive=source.path)
    return source


def _is_of_outlines(path: Path) -> bool:
    """Whether a JSON file is one of a labeling tool: a look at its bytes."""
    content = path.read_bytes()
    return b'"cases"' not in content and any(word in content for word in (b'"annotations"', b'"shapes"', b'"regions"'))
