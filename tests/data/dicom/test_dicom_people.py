"""What is warned of before DICOM files are shared, and how names of folders and files are covered in pages and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.data.doctor.check import check
from delineate.data.doctor.fix import write_fixed
from delineate.data.formats.dicom.files import read_dataset
from delineate.data.formats.dicom.header import read_frames
from delineate.data.formats.dicom.names import CoveredNames
from delineate.data.formats.images import write_mask
from scanner import patient, save, set_pixels

pytest.importorskip("pydicom")


def written(tmp_path: Path, modality: str = "CT", **tags: Any) -> Path:
    """A picture whose header tells of nobody but by these tags."""
    image = patient("one", modality, "SecondaryCaptureImageStorage" if modality == "CT" else "UltrasoundImageStorage")
    for keyword in ("PatientName", "PatientBirthDate", "ReferringPhysicianName"):
        setattr(image, keyword, "")
    image.BurnedInAnnotation = "NO"
    set_pixels(image, np.arange(120, dtype=np.uint16).reshape(12, 10))
    for keyword, value in tags.items():
        setattr(image, keyword, value)
    return save(image, tmp_path / "set" / "a.dcm", "one")


def warned(path: Path) -> list[str]:
    return [one.text for one in check(path.parent).findings if "DICOM file" in one.text]


def test_a_header_that_tells_of_nobody_is_not_warned_of(tmp_path: Path) -> None:
    assert warned(written(tmp_path, PatientName="ANONYMOUS", InstitutionName="removed")) == []


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"OperatorsName": "A^B"}, "1 of 1 DICOM file tell who the patient is (OperatorsName)"),
        ({"PatientComments": "seen by Dr B"}, "1 of 1 DICOM file tell who the patient is (PatientComments)"),
        ({"RecognizableVisualFeatures": "YES"}, "1 DICOM file may show a face that can be recognized (a.dcm)"),
        (
            {"BurnedInAnnotation": "YES"},
            "1 DICOM file may show the patient's name or dates in the picture itself (a.dcm)",
        ),
        ({"BurnedInAnnotation": ""}, "1 DICOM file may show the patient's name or dates in the picture itself (a.dcm)"),
    ],
)
def test_what_tells_of_the_patient_is_warned_of(tmp_path: Path, tags: dict[str, str], said: str) -> None:
    """A secondary capture is a picture of a screen, whatever its modality."""
    assert warned(written(tmp_path, **tags)) == [said]


def test_a_name_is_a_pseudonym_where_the_identity_was_removed(tmp_path: Path) -> None:
    assert warned(written(tmp_path, PatientName="subject 7", PatientIdentityRemoved="YES")) == []


def test_private_tags_are_warned_of(tmp_path: Path) -> None:
    path = written(tmp_path)
    image = read_dataset(path, pixels=True)
    image.private_block(0x0019, "MAKER", create=True).add_new(1, "LO", "who knows")
    image.save_as(path)
    assert warned(path) == ["1 of 1 DICOM file have private tags, which may hold anything, a name too"]


def test_what_stands_in_place_of_a_code_is_not_quoted(tmp_path: Path) -> None:
    path = written(tmp_path, Modality="DOE JANE", PhotometricInterpretation="JANE DOE")
    (frame,) = read_frames(path, read_dataset(path))
    assert (frame.header.modality, frame.header.photometric) == ("", "")


def test_names_are_covered_and_words_are_not(tmp_path: Path) -> None:
    root = tmp_path / "Doe_Jane"
    for name in ("images/Doe_Jane 1933/IM1.dcm", "masks/Doe_Jane 1933.nii.gz", "liver/x.png", "CT/Müller & Söhne.dcm"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    cover = CoveredNames(root, "DATA", ["liver"])
    said = f"images/Doe_Jane 1933#series-0123456789 + masks/doe_jane 1933.nii.gz in {root}: liver is 3 pixels"
    assert cover(said) == "images/name-1#series-0123456789 + masks/name-1.nii.gz in DATA: liver is 3 pixels"
    assert cover("Doe_Jane/CT/Müller & Söhne.dcm of case_0001") == "name-2/CT/name-3.dcm of case_0001"
    assert cover("2 scans, 10 DICOM images in masks") == "2 scans, 10 DICOM images in masks"


def test_the_log_of_a_clean_copy_names_no_files(tmp_path: Path) -> None:
    for at in range(3):
        image = patient(at, "DX", "DigitalXRayImageStorageForPresentation")
        set_pixels(image, np.random.default_rng(at).integers(0, 4000, (12, 10)).astype(np.uint16))
        save(image, tmp_path / "Doe" / "images" / f"Doe_{at}.dcm", at)
        mask = np.zeros((12, 10), np.uint8)
        mask[3:6, 2 : 5 + at] = 255
        (tmp_path / "Doe" / "masks").mkdir(exist_ok=True)
        write_mask(tmp_path / "Doe" / "masks" / f"Doe_{at}.png", mask)
    write_fixed(check(tmp_path / "Doe"), tmp_path / "clean")
    log = (tmp_path / "clean" / "changes.csv").read_text()
    assert log.count("name-") == 6
    assert "Doe" not in log
