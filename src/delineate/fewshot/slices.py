"""Any data set as volumes of slices: what few-shot protocols and episodes are made of.

Three kinds of data come to one form: folders of slices whose names tell volume and position, folders of NIfTI volumes, and
plain pictures, each a volume of one slice. Pixels are read when they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.census import Census
from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.core.input_spec import Pixels
from delineate.data.core.joins import equal_pictures, join
from delineate.data.core.manifest import IGNORE, Case, ClassTable, Manifest, Split
from delineate.data.core.stacks import AUTO, stack_names, tell_slices
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.loading.open import open_data
from delineate.fewshot import nifti

SINGLE = "none"
"""The stack rule by which every picture is a volume of its own."""


@dataclass(frozen=True)
class Slice:
    """One slice of a volume."""

    name: str
    """Unique in the data set: the case's id, or `volume#index` where a file holds a whole volume."""
    index: int
    """Place in its volume, from 0."""
    case: Case
    """The files that hold it; all slices of a NIfTI volume share one."""
    pixels: Mapping[int, int] = field(default_factory=dict)
    """Foreground class (and 255 = ignore) → pixels at native size; classes that the slice lacks are absent."""
    size: tuple[int, int] = (0, 0)
    """Native height and width."""

    def holds(self, label: int, least: int = 1) -> bool:
        """Whether the slice has at least so many pixels of a class."""
        return self.pixels.get(label, 0) >= least


@dataclass(frozen=True)
class SliceStack:
    """The slices of one volume, in order."""

    volume: str
    group: str
    """What must not be in support and query at once: the patient, or the volume where none is known."""
    split: Split | None
    slices: tuple[Slice, ...]

    def holding(self, label: int, least: int = 1) -> tuple[int, ...]:
        """Indices of the slices with at least so many pixels of a class, ascending: first and last bound its extent."""
        return tuple(one.index for one in self.slices if one.holds(label, least))


class _Reader(Protocol):
    """Pixels of slices, at native size."""

    def image(self, one: Slice) -> Pixels: ...

    def mask(self, one: Slice) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class SliceSet:
    """A data set, or a part of it, as stacks of slices."""

    manifest: Manifest
    """Of the same part; the files' hashes are in its cases."""
    census: Census
    stacks: tuple[SliceStack, ...]
    reader: _Reader
    axis: int | None = None
    """Across the slices of volumes, which are seen in the canonical order (`formats.canonical`); None where slices are files."""

    @property
    def classes(self) -> ClassTable:
        return self.manifest.classes

    @property
    def labels(self) -> range:
        """Indices of the foreground classes."""
        return range(1, len(self.classes.names))

    def __len__(self) -> int:
        """Number of slices."""
        return sum(len(stack.slices) for stack in self.stacks)

    def __iter__(self) -> Iterator[tuple[SliceStack, Slice]]:
        """All slices with their stacks, stack by stack."""
        return ((stack, one) for stack in self.stacks for one in stack.slices)

    def split(self, *names: Split) -> SliceSet:
        """The stacks of one or several splits."""
        return self._part([stack for stack in self.stacks if stack.split in names])

    def sealed(self) -> SliceSet:
        """Training and validation stacks alone: what training works on, so that it cannot reach a test case."""
        return self.split("train", "val")

    def image(self, one: Slice) -> Pixels:
        """Pixels H×W or H×W×C at native size: the file's own, or of a NIfTI volume uint8 between its volume's 0.5th and 99.5th
        percentile. Raises `DataError` for files that are damaged or have changed."""
        return self.reader.image(one)

    def mask(self, one: Slice) -> NDArray[np.uint8]:
        """Class indices H×W at native size; 255 = ignore, everywhere where the case has no mask."""
        return self.reader.mask(one)

    def stack(self, volume: str) -> SliceStack:
        """The stack of a volume. Raises `DataError` when there is none of that name."""
        found = next((stack for stack in self.stacks if stack.volume == volume), None)
        if found is None:
            raise DataError(f"{self.manifest.root} has no volume '{volume}'")
        return found

    def _part(self, stacks: Sequence[SliceStack]) -> SliceSet:
        kept = {one.case.id for stack in stacks for one in stack.slices}
        cases = tuple(case for case in self.manifest.cases if case.id in kept)
        manifest = self.manifest.model_copy(update={"cases": cases})
        return replace(self, manifest=manifest, census=self.census.of(cases), stacks=tuple(stacks))


@dataclass(frozen=True)
class _Files:
    """Slices that are files of their own."""

    manifest: Manifest
    max_pixels: int

    def image(self, one: Slice) -> Pixels:
        return case_image(self.manifest, one.case, max_pixels=self.max_pixels)

    def mask(self, one: Slice) -> NDArray[np.uint8]:
        mask = case_mask(self.manifest, one.case, max_pixels=self.max_pixels)
        return np.full(self.image(one).shape[:2], IGNORE, np.uint8) if mask is None else mask


@dataclass(frozen=True)
class _Voxels:
    """Slices of NIfTI volumes."""

    volumes: nifti.Volumes

    def image(self, one: Slice) -> Pixels:
        return self.volumes.image(one.case, one.index)

    def mask(self, one: Slice) -> NDArray[np.uint8]:
        return self.volumes.mask(one.case, one.index)


def open_slices(
    data: Path | DataSource,
    *,
    stack: str = AUTO,
    axis: int | None = None,
    fold: int | None = None,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    cache_folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: bool = False,
) -> SliceSet:
    r"""Recognise a data set, a folder or a manifest.json that was saved before, and see it as stacks of slices.

    `stack`: how names tell volume and slice: `auto` (names that end in `_slice_07`, `_z12` …; other pictures stand alone),
    `none`, or a regular expression with the groups `volume` and `slice`. `axis`: of NIfTI volumes, the one across the slices;
    None: that with the widest spacing, the last of equals. `fold`: of a manifest with folds, the one that validates. `seed`: of
    splits, where the data bring none. Raises `DataError` as `open_data`; when slices of one volume are in two splits or differ in
    size; for a regular expression that does not fit.
    """
    source = as_source(data)
    if nifti.recognises(source):
        return _of_volumes(
            nifti.open_volumes(source, axis=axis, fold=fold, seed=seed, cache_folder=cache_folder, progress=progress)
        )
    if axis is not None:
        raise DataError(f"{source.path} holds no NIfTI volumes, so there is no slice axis to choose; leave --axis away")
    manifest, census = open_data(source, fold=fold, seed=seed, max_pixels=max_pixels, progress=progress, watch=watch)
    pixels = {name: _foreground(facts.class_pixels(manifest.labels)) for name, facts in census.facts.items()}
    by_id = {case.id: case for case in manifest.cases}
    sizes = {name: (facts.height, facts.width) for name, facts in census.facts.items()}
    stacks = [
        _checked(volume, [Slice(name, at, by_id[name], pixels[name], sizes[name]) for at, name in enumerate(names)])
        for volume, names in _volumes_of(list(by_id), stack)
    ]
    return SliceSet(manifest, census, _with_copies(stacks), _Files(manifest, max_pixels))


def _of_volumes(opened: nifti.Opened) -> SliceSet:
    stacks = []
    for case in opened.manifest.cases:
        facts = opened.census.facts[case.id]
        slices = [
            Slice(f"{case.id}#{at}", at, case, _foreground(counts), (facts.height, facts.width))
            for at, counts in enumerate(opened.pixels[case.id])
        ]
        stacks.append(_checked(case.id, slices))
    volumes = nifti.Volumes(opened.manifest, opened.axis)
    return SliceSet(opened.manifest, opened.census, _with_copies(stacks), _Voxels(volumes), opened.axis)


def _with_copies(stacks: Sequence[SliceStack]) -> tuple[SliceStack, ...]:
    """The stacks, those with a picture in common in one group: none of them is shown to find another in."""
    cases = {
        one.case.id: one.case.model_copy(update={"group": stack.group}) for stack in stacks for one in stack.slices
    }
    joined = join(list(cases.values()), equal_pictures(cases.values()))
    return tuple(replace(stack, group=joined[stack.slices[0].case.id] or stack.group) for stack in stacks)


def _volumes_of(names: list[str], rule: str) -> list[tuple[str, tuple[str, ...]]]:
    if rule == SINGLE or (rule == AUTO and not tell_slices(names)):
        return [(name, (name,)) for name in names]
    return [(stack.volume, stack.slices) for stack in stack_names(names, rule)]


def _checked(volume: str, slices: list[Slice]) -> SliceStack:
    first = slices[0].case
    for other in slices[1:]:
        if (other.case.split, other.case.group) != (first.split, first.group):
            what = "splits" if other.case.split != first.split else "groups"
            raise DataError(
                f"'{slices[0].name}' and '{other.name}' are of one volume, '{volume}', but in two {what}; mend the lists"
            )
        if other.size != slices[0].size:
            raise DataError(
                f"'{slices[0].name}' and '{other.name}' are of one volume, '{volume}', but differ in size "
                f"({slices[0].size[0]}×{slices[0].size[1]} and {other.size[0]}×{other.size[1]}); resample one, or give --stack none"
            )
    return SliceStack(volume, first.group or volume, first.split, tuple(slices))


def _foreground(counts: Mapping[int, int]) -> dict[int, int]:
    return {int(label): int(number) for label, number in sorted(counts.items()) if label and number}


def old_name(name: str) -> str:
    """What the first version called a class without a name: "class 3" for "label 3"; other names as they are."""
    return re.sub(r"^label (\d+)$", r"class \1", name)


def labels_named(names: Sequence[str], classes: ClassTable, root: Any) -> tuple[int, ...]:
    """Foreground classes given by name or index → their indices, ascending. Raises `DataError` listing what there is."""
    known = {name.lower(): index for index, name in enumerate(classes.names) if index}
    known |= {old_name(name): index for name, index in known.items()}
    known |= {str(index): index for index in range(1, len(classes.names))}
    unknown = next((name for name in names if name.strip().lower() not in known), None)
    if unknown is not None:
        there = ", ".join(f"{index} ({name})" for index, name in enumerate(classes.names) if index)
        raise DataError(f"{root} has no foreground class '{unknown}'; there are {there}")
    return tuple(sorted({known[name.strip().lower()] for name in names}))
