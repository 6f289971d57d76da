"""Predicting DICOM: masks are those of the same voxels as NIfTI, on the same grid, and their names say nothing of the patient."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from delineate.artefact.format import Artefact
from delineate.artefact.format import save as save_model
from delineate.cli.root import app
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import open_image
from delineate.inference.files import predict_files
from delineate.inference.inputs import find_inputs
from delineate.inference.predictor import Predictor
from micro_method import brightness
from scanner import ALONG_AXES, PLANTED, noise, oblique, patient, save, set_pixels, write_series

pytest.importorskip("pydicom")
pytest.importorskip("nibabel")
VOXELS = noise((12, 10, 6))


def predictor() -> Predictor:
    return Predictor(Artefact(brightness(1, 1), InputSpec(size=(12, 10), channels="gray"), ClassTable()), "cpu")


@pytest.mark.parametrize("direction", [ALONG_AXES, oblique()])
def test_a_series_gives_the_mask_of_its_voxels_as_nifti(tmp_path: Path, direction: np.ndarray) -> None:
    write_series(tmp_path / "study" / "deep" / "ct", VOXELS, direction=direction)
    handle = open_image(tmp_path / "study" / "deep" / "ct")
    write_volume_image(tmp_path / "same.nii.gz", VOXELS, handle.geometry)
    done = predict_files(predictor(), [tmp_path / "study", tmp_path / "same.nii.gz"], tmp_path / "out", format="nifti")
    assert not done.failures
    one, other = (open_image(tmp_path / "out" / f"{name}.nii.gz") for name in ("case_0001", "same"))
    assert np.array_equal(one.read(), other.read())
    assert 0 < one.read().mean() < 1
    assert np.abs(one.geometry.corners() - handle.geometry.corners()).max() < 1e-3


def test_series_and_pictures_of_a_study_are_numbered(tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_series(study / "a", VOXELS)
    write_series(study / "a", VOXELS[:, :, :2], series="scout", suffix=".s", change=_as_scout)
    still = patient("still", "DX", "DigitalXRayImageStorageForPresentation")
    set_pixels(still, np.arange(120, dtype=np.uint16).reshape(12, 10))
    still.SeriesNumber = 9
    save(still, study / "b" / "X1", "still")
    (study / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    found = find_inputs([study])
    assert [each.name for each in found.images] == ["case_0001", "case_0002"]
    assert "the DICOMDIR is not used: all files in the folder were looked at" in found.notes
    assert any(note.startswith("1 scout image (LOCALIZER) left out of ") for note in found.notes)
    done = predict_files(predictor(), found, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if "case" in path.name) == [
        "case_0001.seg.dcm",
        "case_0002.seg.dcm",
    ]
    assert not done.failures


def test_a_file_that_holds_no_image_is_refused(tmp_path: Path) -> None:
    image = patient("dose", "RTDOSE", "RTDoseStorage")
    set_pixels(image, np.zeros((3, 4), np.uint16))
    file = save(image, tmp_path / "dose.dcm", "dose")
    with pytest.raises(DataError, match=r"dose\.dcm is a radiation dose, no image"):
        find_inputs([file])
    with pytest.raises(DataError, match=r"dose\.dcm is a radiation dose, no image"):
        find_inputs([tmp_path])


def _as_scout(image: object, at: int) -> None:
    image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]  # type: ignore[attr-defined]


def test_another_modality_is_told(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS, modality="MR")
    spec = InputSpec(size=(12, 10), channels="gray", modality="CT")
    model = Predictor(Artefact(brightness(1, 1), spec, ClassTable()), "cpu")
    (file,) = predict_files(model, [tmp_path / "a"], tmp_path / "out").files
    assert "a MR image given to a model trained on CT" in (file.remark or "")


def test_names_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    write_series(tmp_path / "DOE" / "ct", VOXELS)
    (numbered,) = find_inputs([tmp_path / "DOE"]).images
    (kept,) = find_inputs([tmp_path / "DOE"], "keep").images
    assert numbered.name == "case_0001"
    assert kept.name.startswith("ct_")
    assert kept.image == numbered.image


def test_nothing_of_the_patient_is_in_any_output(tmp_path: Path, capfd: pytest.CaptureFixture[str], micro: str) -> None:
    """Maps, overlays, tables and what is printed, also where a file of the series is damaged. The segmentation is DICOM: it belongs
    to the patient's record."""
    write_series(tmp_path / "study", VOXELS)
    broken = tmp_path / "study" / "I99999"
    broken.write_bytes(next((tmp_path / "study").iterdir()).read_bytes()[:500])
    save_model(
        tmp_path / "m.safetensors", Artefact(brightness(1, 1), InputSpec(size=(12, 10), channels="gray"), ClassTable())
    )
    given = [str(tmp_path / "m.safetensors"), str(tmp_path / "study"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["predict", *given, "--overlay", "--probabilities"])
    assert done.exit_code == 0, done.output
    out, err = capfd.readouterr()
    assert "1 DICOM file without an image left out" in done.output
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) >= 5
    content = b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in written
        if path.suffix != ".dcm"
    )
    said = done.output + out + err + " ".join(map(str, written))
    assert not [word for word in PLANTED if word in said or word.encode() in content]
