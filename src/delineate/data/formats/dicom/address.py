"""Addresses of DICOM images: `PLACE#series-0123456789` has slices, `PLACE#image-0123456789` is a picture,
`PLACE#slide-0123456789` a slide.

The place is a file, or the folder that the files of a series lie in. The name behind it is a hash of DICOM's UIDs: it says nothing
of a patient, and stays the same when other series are added. Where only some slices of a series are meant, their numbers follow,
from 0 in the order of their places: `PLACE#series-0123456789:0-9,12-12`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from delineate.data.formats.dicom.series import Kind

__all__ = ["DicomAddress"]

_ADDRESS = re.compile(
    r"(?P<place>.+)#(?P<kind>series|image|slide)-(?P<key>[0-9a-f]{10})(?::(?P<slices>\d+-\d+(?:,\d+-\d+)*))?", re.DOTALL
)


@dataclass(frozen=True)
class DicomAddress:
    """Where an image lies.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.dicom.address import DicomAddress
        >>> address = DicomAddress.parse(Path("study/ct#series-0123456789"))
        >>> address.place, address.kind, str(address)
        (PosixPath('study/ct'), 'series', 'study/ct#series-0123456789')
    """

    place: Path
    """A file or a folder."""
    kind: Kind
    key: str
    slices: tuple[tuple[int, int], ...] = ()
    """First and last of each run of slices that are meant; none: all."""

    def __str__(self) -> str:
        slices = ",".join(f"{first}-{last}" for first, last in self.slices)
        return f"{self.place.as_posix()}#{self.kind}-{self.key}{slices and f':{slices}'}"

    @classmethod
    def parse(cls, path: Path | str) -> DicomAddress | None:
        """Take an address apart.

        Args:
            path: of anything.

        Returns:
            The address that it is; None for the path of a file or folder.
        """
        found = _ADDRESS.fullmatch(str(path))
        if found is None:
            return None
        kind = next(one for one in get_args(Kind) if one == found["kind"])
        runs = [part.split("-") for part in (found["slices"] or "").split(",") if part]
        return cls(Path(found["place"]), kind, found["key"], tuple((int(first), int(last)) for first, last in runs))
