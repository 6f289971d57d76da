"""Addresses of masks in DICOM objects: `FILE#mask`, or on the grid of the images that it is of, `FILE#mask-0123456789`.

The name behind the dash is that of the series' own address (`data.formats.dicom.address`). Where the series lies may be said, too,
seen from the folder of the mask: `FILE#mask-0123456789@..+ct`; else it is looked for. Where the objects of a data set number the
same things differently, the address says what the values become: `FILE#mask-0123456789:1=2,4=1`. Objects of the same images that
hold other classes follow, seen from the same folder: `liver.dcm#mask-0123456789:1=1#+tumor.dcm:1=2`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

__all__ = ["MaskAddress"]

_VALUES = r"\d+=\d+(?:,\d+=\d+)*"
_ADDRESS = re.compile(
    rf"(?P<file>.+)#mask(?:-(?P<key>[0-9a-f]{{10}})(?:@(?P<place>[^/@#:]+))?)?(?::(?P<values>{_VALUES}))?"
    rf"(?P<more>(?:#\+[^/@#:]+:{_VALUES})*)",
    re.DOTALL,
)
_SIGNS = re.compile(r"[%+@#:]")
"""What means something in addresses. All else stays as it is, so that pages find the names that they do not show
(`data.formats.dicom.names`)."""


@dataclass(frozen=True)
class MaskAddress:
    """Where a mask lies.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.dicom_masks.address import MaskAddress
        >>> address = MaskAddress.parse(Path("study/seg.dcm#mask-0123456789:1=2"))
        >>> address.file, address.series, dict(address.values), str(address)
        (PosixPath('study/seg.dcm'), '0123456789', {1: 2}, 'study/seg.dcm#mask-0123456789:1=2')
    """

    file: Path
    series: str | None = None
    """On whose grid it is; None: its own."""
    values: Mapping[int, int] = field(default_factory=dict)
    """Value in the file → value in the mask; empty: as they are. Others become background."""
    images: Path | None = None
    """The file or folder that the series lies in; None: near the mask."""
    more: tuple[tuple[Path, Mapping[int, int]], ...] = ()
    """Further objects of the same images, with their values."""

    def __str__(self) -> str:
        series = "" if self.series is None else f"-{self.series}"
        if self.images is not None:
            series += f"@{self._quoted_way(self.images)}"
        values = _as_text(self.values)
        more = "".join(f"#+{self._quoted_way(file)}:{_as_text(own)}" for file, own in self.more)
        return f"{self.file.as_posix()}#mask{series}{values and f':{values}'}{more}"

    @property
    def parts(self) -> Iterator[tuple[Path, Mapping[int, int]]]:
        """Each object's file and values."""
        yield self.file, self.values
        yield from self.more

    @property
    def files(self) -> tuple[Path, ...]:
        """Of all objects."""
        return tuple(file for file, _ in self.parts)

    def becoming(self, values: Mapping[int, int]) -> MaskAddress:
        """The same mask with other values.

        Args:
            values: value in this mask → value in the new one; others become background.

        Returns:
            A new address.
        """
        own = values if not self.values else _after(self.values, values)
        more = tuple((file, _after(each, values)) for file, each in self.more)
        return replace(self, values=own, more=more)

    def _quoted_way(self, to: Path) -> str:
        return _quoted(Path(os.path.relpath(to, self.file.parent)).as_posix())

    @classmethod
    def parse(cls, path: Path | str) -> MaskAddress | None:
        """Take an address apart.

        Args:
            path: of anything.

        Returns:
            The address that it is; None for the path of a file or folder.
        """
        found = _ADDRESS.fullmatch(str(path))
        if found is None:
            return None
        file, way = Path(found["file"]), found["place"]
        images = None if way is None else Path(os.path.normpath(file.parent / _unquoted(way)))
        more = []
        for part in found["more"].split("#+")[1:]:
            other, _, values = part.partition(":")
            more.append((Path(os.path.normpath(file.parent / _unquoted(other))), _of_text(values)))
        return cls(file, found["key"], _of_text(found["values"] or ""), images, tuple(more))


def _as_text(values: Mapping[int, int]) -> str:
    return ",".join(f"{one}={other}" for one, other in values.items())


def _of_text(text: str) -> dict[int, int]:
    pairs = [part.split("=") for part in text.split(",") if part]
    return {int(one): int(other) for one, other in pairs}


def _after(first: Mapping[int, int], then: Mapping[int, int]) -> dict[int, int]:
    """What becomes of a file's values; `0=0` where nothing of it is left, since an empty table would draw all."""
    return {number: then[value] for number, value in first.items() if value in then} or {0: 0}


def _quoted(way: str) -> str:
    parts = way.split("/")
    return "+".join(_SIGNS.sub(lambda sign: f"%{ord(sign[0]):02X}", part) for part in parts)


def _unquoted(text: str) -> str:
    return "/".join(unquote(part) for part in text.split("+"))
