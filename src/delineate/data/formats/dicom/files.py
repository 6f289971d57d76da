"""Which files are DICOM, and their headers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.data.formats.dicom.package import pydicom
from delineate.data.formats.images import read_content

__all__ = ["SUFFIXES", "damage_told", "is_dicom", "looks_like_dicom", "read_dataset"]

SUFFIXES = (".dcm", ".dicom", ".ima")
_MOST_DEFLATED = 1 << 29
"""Bytes that a deflated file may unpack to: it is held in memory as a whole."""
_FIRST = 1024
_MAGIC, _AT = b"DICM", 128
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_ENVELOPE = bytes.fromhex("06092a864886f70d010703")
"""The name of encrypted content in a secure DICOM file (CMS)."""


def looks_like_dicom(path: Path, first: bytes) -> bool:
    """Whether a file is DICOM by its first bytes. A few programs leave out the preamble: then its name must say so, too.

    Args:
        path: of the file.
        first: its first bytes, 132 at least.

    Returns:
        Whether it is.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.dicom.files import looks_like_dicom
        >>> looks_like_dicom(Path("IM0001"), bytes(128) + b"DICM")
        True
    """
    if first[_AT : _AT + 4] == _MAGIC:
        return True
    return path.suffix.lower() in SUFFIXES and _starts_with_tag(first)


def is_dicom(path: Path) -> bool:
    """`looks_like_dicom` of a file on disk; files that are called DICOM are, so that their faults are told."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            return looks_like_dicom(path, stream.read(_FIRST))
    except OSError:
        return False


def read_dataset(path: Path, *, pixels: bool = False) -> Any:
    """A file as pydicom's data set.

    Args:
        path: of the file.
        pixels: whether its pixels are read, too.

    Returns:
        The data set, with `file_meta`.

    Raises:
        DataError: in one line that names the file: missing, empty, not DICOM, damaged, encrypted, deflated beyond 512 MB.

    Example:
        >>> from delineate.data.formats.dicom.files import read_dataset
        >>> from pydicom.data import get_testdata_file
        >>> from pathlib import Path
        >>> str(read_dataset(Path(get_testdata_file("CT_small.dcm"))).Modality)
        'CT'
    """
    package = pydicom()
    try:
        with path.open("rb") as stream:
            first = stream.read(_FIRST)
    except OSError:
        first = b""
    if not first:
        read_content(path)  # a missing, unreadable or empty file has a line of its own
    if first[:1] == b"\x30" and _ENVELOPE in first:
        raise DataError(f"{path} is encrypted (a secure DICOM file); decrypt it first")
    if not looks_like_dicom(path, first):
        raise DataError(f"{path} is no DICOM file, or damaged in its first bytes; restore or remove it")
    if _DEFLATED in first:
        _check_deflated(path, first)
    try:
        return package.dcmread(path, stop_before_pixels=not pixels, force=first[_AT : _AT + 4] != _MAGIC)
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory") from error
    except Exception as error:
        raise DataError(f"{path} is damaged or truncated ({type(error).__name__}); restore or remove it") from error


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Tags are read from their bytes when they are asked for: what is raised for damaged ones becomes one line.

    Args:
        path: of the file whose tags are used inside.

    Raises:
        DataError: naming the file; those that were raised inside stay what they are.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.dicom.files import damage_told
        >>> with damage_told(Path("a.dcm")):
        ...     raise NotImplementedError("Unknown Value Representation")
        Traceback (most recent call last):
        delineate.common.errors.DataError: a.dcm is damaged or truncated (NotImplementedError); restore or remove it
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path} is damaged or truncated ({type(error).__name__}); restore or remove it") from error


def _starts_with_tag(first: bytes) -> bool:
    """Whether the bytes begin with a tag of group 2 or 8, as files without a preamble do."""
    group = int.from_bytes(first[:2], "little")
    return (len(first) >= 8 and group in (0x0002, 0x0008) and first[2:4] != b"\0\0") or first[:4] == b"\x02\0\0\0"


def _check_deflated(path: Path, first: bytes) -> None:
    """Raise `DataError` for a file that unpacks to more than memory should give: pydicom unpacks without a limit."""
    content = path.read_bytes()
    start = _AT + 4
    length = int.from_bytes(
        content[start + 8 : start + 12], "little"
    )  # of the group before the packed part, which follows
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        size = len(unpacker.decompress(content[start + 12 + length :], _MOST_DEFLATED + 1))
    except zlib.error:
        return  # pydicom says that it is damaged
    if size > _MOST_DEFLATED:
        raise DataError(f"{path} unpacks to more than {_MOST_DEFLATED >> 20} MB; restore or remove it")
