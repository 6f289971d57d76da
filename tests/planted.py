"""Words that tell of a patient, planted into a DICOM set, and a search for them in everything that was written or said."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dicom_results import write_seg
from scanner import write_series

HEADER = {
    "PatientName": "Pimpernel^Scarlet",
    "PatientID": "PIDXQ90210",
    "PatientBirthDate": "19330517",
    "PatientAddress": "Blackfriarslane",
    "PatientComments": "Armandstjust",
    "OtherPatientNames": "Ffoulkes^Andrew",
    "AccessionNumber": "ACCXQ77123",
    "StudyDescription": "Blakeney abdomen",
    "SeriesDescription": "Suzanneseries",
    "ProtocolName": "Tonyprotocol",
    "InstitutionName": "Fisherinn hospital",
    "StationName": "Jellybandscanner",
    "ReferringPhysicianName": "Chauvelin^A",
    "OperatorsName": "Dewhurst^O",
    "RequestingPhysician": "Hastings^R",
    "StudyID": "STUDXQ4711",
}
"""Of every slice."""
PRIVATE, ELEMENT = (0x0019, "DAYDREAM"), "Privatebyron"
HEADER_WORDS = tuple(
    word for value in (*HEADER.values(), ELEMENT, "Daydream") for word in re.split(r"[\^ ]", value) if len(word) > 3
)
"""None of it may be anywhere but in DICOM results, and of these only what the standard asks for."""
NAME_WORDS = ("Quatermain", "Umslopogaas")
"""In the names of folders and files of the set."""
ROOT_WORD = "Moriartyset"
"""In the name of the folder that the user gives."""
SHAPE = (16, 16, 5)


def write_planted(parent: Path, patients: int = 7) -> Path:
    """A set of series with labels, its folders and files called after patients."""
    from delineate.data.formats.nifti import write_volume_image
    from delineate.data.formats.registry import read_geometry

    root = parent / ROOT_WORD
    for at in range(patients):

        def change(image: Any, place: int, at: int = at) -> None:
            for keyword, value in HEADER.items():
                setattr(image, keyword, value)
            image.PatientID = f"{HEADER['PatientID']}{at}"
            image.private_block(*PRIVATE, create=True).add_new(1, "LO", ELEMENT)

        rng = np.random.default_rng(at)
        mask = np.zeros(SHAPE, np.uint8)
        mask[3:10, 4 : 11 + at % 3, 1:4] = 1
        voxels = (mask * np.int16(800) + rng.integers(-60, 60, SHAPE)).astype(np.int16)
        name = f"Quatermain_{at}"
        series = write_series(root / "images" / name, voxels, change=change, suffix=".Umslopogaas.dcm")
        label = root / "masks" / f"{name}.nii.gz"
        label.parent.mkdir(parents=True, exist_ok=True)
        write_volume_image(label, mask, read_geometry(series))
    (root / "Quatermain_notes.txt").write_text("Umslopogaas")
    return root


def label_by_segmentations(root: Path) -> None:
    """Put DICOM segmentations in place of the set's label volumes."""
    from delineate.data.formats.registry import open_image

    (root / "labels").mkdir()
    for volume in sorted((root / "masks").iterdir()):
        name = volume.name.removesuffix(".nii.gz")
        mask = open_image(volume).read().astype(np.uint8)
        mask[:4, :2, 2] = [[1], [1], [2], [3]]  # each class is in each
        write_seg(root / "labels" / f"{name}.seg.dcm", mask, root / "images" / name)
    shutil.rmtree(root / "masks")
    (root / "Quatermain_notes.txt").unlink()


def found_in(folder: Path, words: tuple[str, ...]) -> dict[str, set[str]]:
    """File (relative) → the words that its name or content holds, packed content included. DICOM results are left out."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if hits := words_in(name.encode(), words):
            found.setdefault(name, set()).update(hits)
        if path.is_file():
            for content in contents(path.read_bytes()):
                if hits := words_in(content, words):
                    found.setdefault(name, set()).update(hits)
    return found


def words_in(content: bytes, words: tuple[str, ...]) -> set[str]:
    """The words that bytes hold in any case, as UTF-8 or UTF-16."""
    plain = content.lower()
    wide = plain.replace(b"\0", b"")
    return {word for word in words if word.lower().encode() in plain or word.lower().encode() in wide}


def contents(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes of a file, and those that are packed in it: zip (npz, pickled weights), gzip, text in PNG, base64 of pages."""
    yield content
    if depth > 4:
        return
    inner: list[bytes] = []
    if content[:2] == b"\x1f\x8b":
        inner.append(gzip.decompress(content))
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inner += [name.encode() for name in archive.namelist()] + [
                archive.read(name) for name in archive.namelist()
            ]
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        inner += _text_of_png(content)
    for match in re.finditer(rb"base64,([A-Za-z0-9+/=]{16,})", content):
        import base64

        inner.append(base64.b64decode(match[1]))
    for each in inner:
        yield from contents(each, depth + 1)


def _text_of_png(content: bytes) -> list[bytes]:
    found, at = [], 8
    while at + 8 <= len(content):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + size]
        if kind in (b"zTXt", b"iTXt", b"iCCP", b"eXIf"):
            for start in range(min(len(body), 90)):
                try:
                    found.append(zlib.decompress(body[start:]))
                    break
                except zlib.error:
                    continue
        at += 12 + size
    return found
