"""A dataset as samples, which training, episodes and few-shot protocols use.

Folders of slices with volume and position in their names, folders of volumes, and plain pictures are all seen as stacks of slices;
a picture is a stack of one slice. Pixels are read when they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.census import Census, Progress
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.core.axes import axis_number
from delineate.data.core.input_spec import Pixels
from delineate.data.core.intensity import VolumeNumbers
from delineate.data.core.joins import equal_pictures, join
from delineate.data.core.manifest import IGNORE, ClassTable, Manifest, Split
from delineate.data.core.samples import Sample, SliceStack
from delineate.data.core.stacks import AUTO, stack_names, tell_slices
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data

__all__ = ["SINGLE", "SampleSet", "open_samples"]

SINGLE = "none"
"""The stack rule that makes every picture a volume of its own."""


@dataclass(frozen=True)
class SampleSet:
    """A dataset, or a part of it, as stacks of slices. `open_samples` makes one.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.loading.samples import open_samples
        >>> data = open_samples(Path("polyps"))
        >>> training = data.split("train")
        >>> image, mask = training.image(training.samples[0]), training.mask(training.samples[0])
        >>> image.shape, mask.shape
        ((32, 32, 3), (32, 32))
    """

    manifest: Manifest
    """Of the same part; the files' hashes are in its cases."""
    census: Census
    stacks: tuple[SliceStack, ...]
    reader: SamplePixels

    @classmethod
    def of(
        cls, manifest: Manifest, census: Census, *, stack: str = AUTO, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> SampleSet:
        """Make a set of what `open_data` returned.

        Args:
            manifest: The cases.
            census: What their files hold.
            stack: As for `open_samples`.
            max_pixels: Larger images are refused.

        Returns:
            All samples of the manifest.

        Raises:
            DataError: As `open_samples`.
        """
        stacks = _with_copies(list(_stacks(manifest, census, stack)))
        reader = SamplePixels(manifest, census.axis, max_pixels)
        return cls(manifest, census, stacks, reader)

    @property
    def axis(self) -> int | None:
        """Across the slices of volumes, which are seen in the canonical order (`formats.canonical`); None where slices are
        files."""
        return self.census.axis

    @property
    def classes(self) -> ClassTable:
        return self.manifest.classes

    @property
    def labels(self) -> range:
        """Indices of the foreground classes."""
        return range(1, len(self.classes.names))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples, stack by stack."""
        return tuple(one for _, one in self)

    def __len__(self) -> int:
        """Number of samples."""
        return sum(len(stack.slices) for stack in self.stacks)

    def __iter__(self) -> Iterator[tuple[SliceStack, Sample]]:
        """All samples with their stacks, stack by stack."""
        return ((stack, one) for stack in self.stacks for one in stack.slices)

    def split(self, *names: Split) -> SampleSet:
        """The stacks of one or several splits.

        Args:
            *names: `train`, `val` or `test`.

        Returns:
            A set of these stacks only.
        """
        return self._part([stack for stack in self.stacks if stack.split in names])

    def sealed(self) -> SampleSet:
        """Training and validation stacks only, so that training cannot reach a test case.

        Returns:
            A set of these stacks only.
        """
        return self.split("train", "val")

    def image(self, one: Sample) -> Pixels:
        """Read the pixels of a sample.

        Args:
            one: One of `samples`.

        Returns:
            H×W or H×W×C at the image's own size.

        Raises:
            DataError: A file is damaged or has changed.
        """
        return self.reader.image(one)

    def mask(self, one: Sample) -> NDArray[np.uint8]:
        """Read the mask of a sample.

        Args:
            one: One of `samples`.

        Returns:
            Class indices uint8 H×W at the image's own size; 255 = ignore. Without a mask, 255 everywhere.

        Raises:
            DataError: A file is damaged or has changed.
        """
        mask = self.reader.mask(one)
        return np.full(self.image(one).shape[:2], IGNORE, np.uint8) if mask is None else mask

    def with_numbers(self, numbers: VolumeNumbers) -> SampleSet:
        """The same samples, but slices of volumes as a network is shown them.

        Args:
            numbers: What they come as (`InputSpec.volume_numbers`).

        Returns:
            The set with another reader.
        """
        return replace(self, reader=self.reader.with_numbers(numbers))

    def stack(self, volume: str) -> SliceStack:
        """Find the stack of a volume.

        Args:
            volume: Its name.

        Returns:
            The stack.

        Raises:
            DataError: There is no volume of that name.
        """
        found = next((stack for stack in self.stacks if stack.volume == volume), None)
        if found is None:
            raise DataError(f"{self.manifest.root} has no volume '{volume}'")
        return found

    def _part(self, stacks: Sequence[SliceStack]) -> SampleSet:
        kept = {one.case.id for stack in stacks for one in stack.slices}
        cases = tuple(case for case in self.manifest.cases if case.id in kept)
        manifest = self.manifest.model_copy(update={"cases": cases})
        return replace(self, manifest=manifest, census=self.census.of(cases), stacks=tuple(stacks))


def open_samples(
    data: Path | DataSource,
    *,
    stack: str = AUTO,
    axis: str | int | None = None,
    fold: int | None = None,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
    watch: bool = False,
) -> SampleSet:
    """Open a dataset as stacks of slices.

    Args:
        data: As for `open_data`.
        stack: How names tell volume and slice: `auto` (names that end in `_slice_07`, `_z12` and the like; other pictures stand
            alone), `none`, or a regular expression with the groups `volume` and `slice`.
        axis: As for `open_data`.
        fold: As for `open_data`.
        seed: As for `open_data`.
        max_pixels: As for `open_data`.
        cache_folder: As for `open_data`.
        progress: As for `open_data`.
        watch: As for `open_data`.

    Returns:
        All samples of the dataset.

    Raises:
        DataError: As `open_data`; slices of one volume are in two splits or differ in size; the regular expression does not fit.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.loading.samples import open_samples
        >>> len(open_samples(Path("polyps")))
        8
    """
    manifest, census = open_data(
        data,
        fold=fold,
        seed=seed,
        max_pixels=max_pixels,
        progress=progress,
        watch=watch,
        axis=axis_number(axis),  # stacks are of one axis
        cache_folder=cache_folder,
    )
    return SampleSet.of(manifest, census, stack=stack, max_pixels=max_pixels)


def _stacks(manifest: Manifest, census: Census, rule: str) -> Iterator[SliceStack]:
    samples = census.samples(manifest.cases, manifest.labels)
    if census.axis is not None:
        for case, slices in groupby(samples, lambda one: one.case.id):
            yield _checked(case, list(slices))
        return
    by_name = {one.name: one for one in samples}
    for volume, names in _named(list(by_name), rule):
        yield _checked(volume, [by_name[name] for name in names])


def _with_copies(stacks: Sequence[SliceStack]) -> tuple[SliceStack, ...]:
    """The stacks, those with a picture in common in one group: none of them is shown to find another in."""
    cases = {
        one.case.id: one.case.model_copy(update={"group": stack.group}) for stack in stacks for one in stack.slices
    }
    joined = join(list(cases.values()), equal_pictures(cases.values()))
    return tuple(replace(stack, group=joined[stack.slices[0].case.id] or stack.group) for stack in stacks)


def _named(names: list[str], rule: str) -> list[tuple[str, tuple[str, ...]]]:
    if rule == SINGLE or (rule == AUTO and not tell_slices(names)):
        return [(name, (name,)) for name in names]
    return [(stack.volume, stack.slices) for stack in stack_names(names, rule)]


def _checked(volume: str, slices: list[Sample]) -> SliceStack:
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
