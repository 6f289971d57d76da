"""Predicting DICOM into DICOM: formats, codes, `--check`, and that no other output names the patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.class_codes import ClassCode, Code
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import open_image
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from micro_method import brightness
from scanner import PLANTED, noise, oblique, patient, save, set_pixels, write_series

VOXELS = noise((12, 10, 6))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series and a still, in folders that are called by the patient."""
    folder = tmp_path_factory.mktemp("study")
    write_series(folder / "ct", VOXELS, direction=oblique())
    still = patient("still", "DX", "DigitalXRayImageStorageForPresentation")
    set_pixels(still, np.arange(120, dtype=np.uint16).reshape(12, 10))
    still.SeriesNumber = 9
    save(still, folder / "dx" / "X1", "still")
    return folder


def predictor() -> Predictor:
    return Predictor(Artefact(brightness(1, 1), InputSpec(size=(12, 10), channels="gray"), ClassTable()), "cpu")


def test_dicom_gives_dicom_and_is_checked(tmp_path: Path, study: Path) -> None:
    plain = predict_files(predictor(), [study / "ct"], tmp_path / "nifti", format="nifti", check=True)
    expected = open_image(tmp_path / "nifti" / "case_0001.nii.gz")
    for name, more in {
        "binary": {},
        "labelmap": {"seg_type": "labelmap"},
        "rtstruct": {"format": "rtstruct"},
    }.items():
        done = predict_files(predictor(), [study / "ct"], tmp_path / name, check=True, probabilities=True, **more)
        assert not done.failures
        (path,) = (tmp_path / name).glob("case_0001.*.dcm")
        assert np.array_equal(open_image(path).drawn(expected.geometry, path), expected.read())
        assert done.files[0].milliliters == plain.files[0].milliliters
        assert (tmp_path / name / "probabilities" / "case_0001.nii.gz").is_file()
        assert any("no SNOMED code is known for 'foreground'" in note for note in done.notes)


def test_no_output_but_dicom_names_the_patient(tmp_path: Path, study: Path, capfd: pytest.CaptureFixture[str]) -> None:
    predict_files(predictor(), [study], tmp_path / "out", overlay=True, probabilities=True, check=True)
    outputs = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sum(path.name.endswith(".seg.dcm") for path in outputs) == 2
    said = capfd.readouterr()
    texts = {path.name: path.read_bytes() for path in outputs if not path.name.endswith(".dcm")}
    texts |= {"names": " ".join(path.name for path in outputs).encode(), "console": (said.out + said.err).encode()}
    for name, content in texts.items():
        assert not [planted for planted in PLANTED if planted.encode() in content], name
    made = next(path for path in outputs if path.name.endswith(".seg.dcm")).read_bytes()
    assert PLANTED[0].encode() in made


def test_codes_are_checked_before_anything_is_written(tmp_path: Path, study: Path) -> None:
    (tmp_path / "codes.yaml").write_text("liver: {type: [10200004, SCT, Liver]}")
    with pytest.raises(DataError, match=r"has no code for .foreground."):
        predict_files(predictor(), [study / "ct"], tmp_path / "out", codes=tmp_path / "codes.yaml")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="--codes is for DICOM"):
        predict_files(predictor(), [study / "ct"], tmp_path / "out", codes=tmp_path / "codes.yaml", format="nifti")


def test_codes_of_training_are_those_of_results(tmp_path: Path, study: Path) -> None:
    import pydicom

    trained = predictor()
    code = ClassCode(category=Code("1", "99X", "A"), type=Code("2", "99X", "B"), modifier=Code("3", "99X", "C"))
    trained.artefact.classes = trained.artefact.classes.model_copy(update={"codes": (code,)})
    done = predict_files(trained, [study / "ct"], tmp_path / "out")
    assert not any("no SNOMED code" in note for note in done.notes)
    (item,) = pydicom.dcmread(tmp_path / "out" / "case_0001.seg.dcm").SegmentSequence
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning) == ("2", "C")
    (tmp_path / "codes.yaml").write_text("foreground: {type: [9, 99X, D]}")
    predict_files(trained, [study / "ct"], tmp_path / "other", codes=tmp_path / "codes.yaml")
    (item,) = pydicom.dcmread(tmp_path / "other" / "case_0001.seg.dcm").SegmentSequence
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == "9"


def test_formats_that_an_image_cannot_have(tmp_path: Path, study: Path) -> None:
    write_volume_image(tmp_path / "a.nii.gz", VOXELS, open_image(study / "ct").geometry)
    for given, format, message in (
        (tmp_path / "a.nii.gz", "dicom-seg", "is no DICOM image, and a DICOM mask must refer to one"),
        (study / "dx", "rtstruct", "has no slices with positions, which an RTSTRUCT needs"),
    ):
        with pytest.raises(DataError, match=message):
            predict_files(predictor(), [given], tmp_path / "out", format=format)


def test_frames_without_a_frame_of_reference_get_nifti(tmp_path: Path) -> None:
    loop = patient("loop", "US", "UltrasoundMultiFrameImageStorage")
    set_pixels(loop, np.arange(3 * 120, dtype=np.uint8).reshape(3, 12, 10))
    path = save(loop, tmp_path / "us" / "L1", "loop")
    done = predict_files(predictor(), [path], tmp_path / "out")
    assert [file.written.mask for file in done.files] == ["case_0001.nii.gz"]
    with pytest.raises(DataError, match="several frames but no frame of reference"):
        predict_files(predictor(), [path], tmp_path / "other", format="dicom-seg")


def test_a_mask_that_reads_back_otherwise_is_a_failure(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import delineate.inference.check_results as check_results

    real = check_results.by_highdicom
    monkeypatch.setattr(check_results, "by_highdicom", lambda path, grid: 1 - real(path, grid))
    done = predict_files(predictor(), [study / "ct"], tmp_path / "out", check=True)
    assert "does not read back as it was written: highdicom finds" in done.failures[0].error
    assert not list((tmp_path / "out").glob("*.dcm"))
