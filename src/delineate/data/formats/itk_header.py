"""The text headers of MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) files: what ITK would otherwise fill in silently.

SimpleITK reads a file without a spacing as one of 1 mm, and a header that names another data file opens whatever that is.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.formats.images import read_content

__all__ = ["ITK_SUFFIXES", "check_header", "data_file", "is_meta"]

ITK_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
_META = (".mha", ".mhd")
_LARGEST_HEADER = 1 << 20
_LAST_OF_META = "elementdatafile"
_INSIDE = ("", "local")
"""What a header says where the voxels follow it in the same file."""
_BYTES = {
    "char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "long": 4, "ulong": 4, "long_long": 8,
    "ulong_long": 8, "float": 4, "double": 8,
}  # fmt: skip
"""MetaImage's types of numbers (MET_SHORT) → bytes, at least."""


def check_header(path: Path) -> None:
    """Raise `DataError` for a header that does not tell how far voxels lie apart, or that names other files for them, and for a
    MetaImage whose voxels are not all there, of which ITK would write lines of its own."""
    fields = _fields(path)
    if not fields:
        raise DataError(f"{path} is no MetaImage or NRRD file, or damaged in its first bytes; restore or remove it")
    if is_meta(path):
        known = "elementspacing" in fields or "elementsize" in fields
    else:
        known = "space directions" in fields and ("space" in fields or "space dimension" in fields)
    if not known:
        what = "ElementSpacing" if is_meta(path) else "space and space directions"
        raise DataError(f"{path} does not tell where its voxels lie ({what}); add that to its header")
    _check_whole(path, fields)


def data_file(path: Path) -> Path:
    """The file with the voxels: the header's own, or the one beside it that it names.

    Raises `DataError` where these are several files, one in another folder, or one that is not there.
    """
    fields = _fields(path)
    named = fields.get(_LAST_OF_META, "") if is_meta(path) else fields.get("data file", fields.get("datafile", ""))
    if named.lower() in _INSIDE:
        return path
    beside = path.with_name(named.removeprefix("./")) if _is_name(named.removeprefix("./")) else None
    if beside is not None and beside.is_file():
        return beside
    if named.upper().split()[:1] == ["LIST"] or "%" in named:
        raise DataError(f"{path} spreads its voxels over several files ({named}); convert it to .nii.gz or .mha")
    if beside is None and "\0" not in named:
        raise DataError(f"{path} names a file in another folder ({named}) for its voxels; put both into one folder")
    raise DataError(f"{path} keeps its voxels in {named!a}, which is not beside it; restore that file")


def _is_name(named: str) -> bool:
    """Whether this can be the name of a file in the same folder."""
    return Path(named).name == named and named not in (".", "..") and "\0" not in named


def _check_whole(path: Path, fields: dict[str, str]) -> None:
    """Raise `DataError` for fewer voxels than the header tells; what is not understood is left to ITK."""
    file = data_file(path)
    if not is_meta(path):
        return
    try:
        if fields.get("compresseddata", "").lower() == "true":
            wanted = int(fields.get("compresseddatasize", 0))
        else:
            item = _BYTES.get(fields["elementtype"].lower().removeprefix("met_").removesuffix("_array"), 0)
            axes = [int(size) for size in fields["dimsize"].split()]
            wanted = math.prod(axes) * item * int(fields.get("elementnumberofchannels", 1))
    except (KeyError, ValueError):
        return
    begins = _begin_of_voxels(path) if file == path else 0
    if file.stat().st_size - begins < wanted:
        raise DataError(f"{path} is damaged or truncated (its voxels are not all there); restore or remove it")


def _begin_of_voxels(path: Path) -> int:
    """Behind the last line of a MetaImage's header."""
    with path.open("rb") as stream:
        first = stream.read(_LARGEST_HEADER)
    last = first.lower().find(_LAST_OF_META.encode())
    return last + len(first[last:].partition(b"\n")[0]) + 1


def is_meta(path: Path) -> bool:
    """Whether a file's name is that of a MetaImage; else it is that of a NRRD."""
    return path.name.lower().endswith(_META)


def _fields(path: Path) -> dict[str, str]:
    """The header's fields in lower case; empty where there is none."""
    try:
        with path.open("rb") as stream:
            first = stream.read(_LARGEST_HEADER)
    except OSError:
        first = b""
    if not first:
        read_content(path)  # a missing, unreadable or empty file has a line of its own
    return _meta_fields(first) if is_meta(path) else _nrrd_fields(first)


def _meta_fields(content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in content.split(b"\n"):
        name, is_field, value = os.fsdecode(line).partition("=")
        if not is_field:
            break
        found[name.strip().lower()] = value.strip()
        if name.strip().lower() == _LAST_OF_META:
            return found
    return {}


def _nrrd_fields(content: bytes) -> dict[str, str]:
    if not content.startswith(b"NRRD"):
        return {}
    found: dict[str, str] = {}
    for line in content.split(b"\n")[1:]:
        text = os.fsdecode(line).strip()
        if not text:
            break
        name, is_field, value = text.partition(":")
        if is_field and not text.startswith("#"):
            found[name.strip().lower()] = value.strip()
    return found
