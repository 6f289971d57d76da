"""Several DICOM masks of the same images, as archives export one object for each class: one mask, where their classes differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.coded_items import UNCODED, SegmentCodes
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.references import References
from delineate.data.layouts.dicom_classes import label_key, tells

__all__ = ["JoinedObjects", "MaskObject"]


@dataclass(frozen=True)
class MaskObject:
    """A segmentation or a structure set, its header read."""

    file: Path
    names: Mapping[int, str]
    """Label of each segment by its number; where a file of codes tells its class, that one's name."""
    codes: Mapping[int, SegmentCodes]
    references: References
    notes: tuple[str, ...]

    @classmethod
    def read(cls, file: Path) -> MaskObject:
        """Of a file. Raises `DataError` as `open_object`."""
        found = open_object(file)
        return cls(file, found.names, found.codes, found.references, found.notes)


@dataclass(frozen=True)
class JoinedObjects:
    """Objects of the same images; mostly one."""

    objects: tuple[MaskObject, ...]

    @property
    def twice(self) -> tuple[str, Path, Path] | None:
        """A class that two objects hold, as those of two readers or two versions do: its name and both files. Left and right are
        two things, be they one class by their codes."""
        for one, other in combinations(self.objects, 2):
            theirs = {_thing(other, number): name for number, name in other.names.items()}
            for number, name in one.names.items():
                if _thing(one, number) in theirs:
                    return name, one.file, other.file
        return None

    @property
    def names(self) -> dict[int, str]:
        """Value in the mask → label."""
        made = zip(self.objects, self._values, strict=True)
        return {values[number]: one.names[number] for one, values in made for number in one.names}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the objects say of themselves."""
        return tuple(note for one in self.objects for note in one.notes)

    def address(self, values: Mapping[int, int], series: str | None = None, images: Path | None = None) -> MaskAddress:
        """Where the mask lies.

        Args:
            values: value in the mask → the one that is wanted; empty: as they are.
            series: as in `MaskAddress`.
            images: as in `MaskAddress`.

        Returns:
            The address; of several objects with the values of each, since their numbers may be the same.
        """
        (first, *others) = self.objects
        if not others:
            return MaskAddress(first.file, series, values, images)
        own, *more = self._values
        address = MaskAddress(
            first.file, series, own, images, tuple((one.file, each) for one, each in zip(others, more, strict=True))
        )
        return address.becoming(values) if values else address

    @property
    def _values(self) -> list[dict[int, int]]:
        """Of each object, number → value in the mask: itself, where no two objects have the same number; else numbers from 1 on, in
        the order of the labels."""
        numbers = [number for one in self.objects for number in one.names]
        if len(set(numbers)) == len(numbers):
            return [{number: number for number in one.names} for one in self.objects]
        keys = sorted({label_key(number, name) for one in self.objects for number, name in one.names.items()})
        return [
            {number: keys.index(label_key(number, name)) + 1 for number, name in one.names.items()}
            for one in self.objects
        ]


def _thing(one: MaskObject, number: int) -> tuple[str, str, str]:
    """What a segment is, as two objects can be compared by it. A label that tells nothing is one thing, whatever its side."""
    name = one.names[number]
    code = one.codes.get(number, UNCODED) if tells(name) else UNCODED
    side, region = ("" if part is None else part.value for part in (code.modifier, code.region))
    return label_key(number, name), side, region
