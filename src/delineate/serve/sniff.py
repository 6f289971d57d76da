"""The format of an upload by its first bytes. Names and media types that a client sends are not believed, and not kept."""

from __future__ import annotations

from pathlib import Path

from delineate.data.formats.dicom.files import looks_like_dicom

__all__ = ["FIRST", "suffix_of"]

FIRST = 1024
"""Bytes that are looked at."""
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", ".dcm"),  # first: DICOM's preamble may be that of a TIFF (PS3.10, 7.1)
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"\xff\xd8\xff", ".jpg"),
    (0, b"II*\0", ".tif"),
    (0, b"MM\0*", ".tif"),
    (0, b"II+\0", ".tif"),
    (0, b"MM\0+", ".tif"),
    (0, b"\x1f\x8b", ".nii.gz"),
    (344, b"n+1\0", ".nii"),
    (4, b"n+2\0", ".nii"),
    (0, b"NRRD000", ".nrrd"),
    (0, b"ObjectType", ".mha"),
    (0, b"NDims", ".mha"),
    (0, b"PK\x03\x04", ".zip"),
    (0, b"PK\x05\x06", ".zip"),
    (8, b"WEBP", ".webp"),
    (0, b"GIF8", ".gif"),
    (0, b"BM", ".bmp"),
    (0, b"\x00\x00\x00\x0cjP  ", ".jp2"),
    (4, b"ftypavif", ".avif"),
    (0, b"\x93NUMPY", ".npy"),
    (0, b"P5", ".pgm"),
    (0, b"P6", ".ppm"),
)
"""Where a file has which bytes, and the ending that readers know its format by."""


def suffix_of(first: bytes) -> str | None:
    """The ending for a file with such first bytes; None: no format that is read here."""
    known = next((suffix for at, magic, suffix in _MAGIC if first[at : at + len(magic)] == magic), None)
    if known is None and looks_like_dicom(Path("x.dcm"), first):
        return ".dcm"
    return known
