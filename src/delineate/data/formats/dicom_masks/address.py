"""Addresses of masks in DICOM objects: `FILE#mask`, or on the grid of the images that it is of, `FILE#mask-0123456789`.

The name behind the dash is that of the series' own address (`data.formats.dicom.address`). Where the series lies may be said, too,
seen from the folder of the mask: `FILE#mask-0123456789@..+ct`; else it is looked for. Where the objects of a data set number the
same things differently, the address says what the values become: `FILE#mask-0123456789:1=2,4=1`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

__all__ = ["MaskAddress"]

_ADDRESS = re.compile(
    r"(?P<file>.+)#mask(?:-(?P<key>[0-9a-f]{10})(?:@(?P<place>[^/@#:]+))?)?(?::(?P<values>\d+=\d+(?:,\d+=\d+)*))?",
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

    def __str__(self) -> str:
        series = "" if self.series is None else f"-{self.series}"
        if self.images is not None:
            way = Path(os.path.relpath(self.images, self.file.parent)).as_posix()
            series += f"@{_quoted(way)}"
        values = ",".join(f"{one}={other}" for one, other in self.values.items())
        return f"{self.file.as_posix()}#mask{series}{values and f':{values}'}"

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
        pairs = [part.split("=") for part in (found["values"] or "").split(",") if part]
        file, way = Path(found["file"]), found["place"]
        images = None if way is None else Path(os.path.normpath(file.parent / _unquoted(way)))
        return cls(file, found["key"], {int(one): int(other) for one, other in pairs}, images)


def _quoted(way: str) -> str:
    parts = way.split("/")
    return "+".join(_SIGNS.sub(lambda sign: f"%{ord(sign[0]):02X}", part) for part in parts)


def _unquoted(text: str) -> str:
    return "/".join(unquote(part) for part in text.split("+"))
