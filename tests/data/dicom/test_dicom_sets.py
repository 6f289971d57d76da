"""DICOM as training data: paired with masks by name or by grid, numbered, grouped by patient, and nothing told of the patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cases.volumes import volume_image, volume_mask
from delineate.data.core.geometry import Geometry
from delineate.data.doctor.check import check
from delineate.data.formats.images import write_mask
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import open_image
from delineate.data.layouts.discover import discover
from scanner import NAME, PLANTED, noise, patient, save, set_pixels, write_series

pytest.importorskip("pydicom")
pytest.importorskip("nibabel")
MASKS = [(noise(seed=at) > 900).astype(np.uint8) for at in range(5)]


def of_patient(number: int) -> Any:
    def change(image: Any, at: int) -> None:
        image.PatientID = f"PID-90210-X{number}"

    return change


def write_label(path: Path, mask: np.ndarray, image: Path, *, turned: bool = False) -> None:
    """On the grid of a series; `turned`: in another order of axes, as converters write it."""
    grid = open_image(image).geometry
    assert grid is not None
    if turned:
        corner = grid.positions([[0, mask.shape[1] - 1, 0]])[0]
        direction = grid.direction * [1, -1, 1]
        grid = Geometry(grid.shape, tuple(corner.tolist()), direction, grid.spacing)  # type: ignore[arg-type]
        mask = mask[:, ::-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume_image(path, mask, grid)


def data_set(root: Path, *, turned: bool = False, patients: int = 4) -> Path:
    for at in range(5):
        folder = write_series(root / "images" / f"scan_{at}", noise(seed=at), change=of_patient(min(at, patients - 1)))
        write_label(root / "masks" / f"scan_{at}.nii.gz", MASKS[at], folder, turned=turned)
    return root


@pytest.mark.parametrize("turned", [False, True])
def test_series_and_label_volumes_are_paired_by_name(tmp_path: Path, turned: bool) -> None:
    manifest = discover(data_set(tmp_path / "set", turned=turned))
    assert [case.id for case in manifest.cases] == [f"case_000{at}" for at in range(1, 6)]
    groups = [case.group for case in manifest.cases]
    assert len(set(groups)) == 4
    assert groups[3] == groups[4]
    assert manifest.grouping == "4 patients, by a salted hash of PatientID"
    report = check(tmp_path / "set")
    assert report.usable, report.findings
    found = report.manifest
    assert found is not None
    for at, case in enumerate(found.cases):
        assert np.array_equal(volume_mask(found, case), MASKS[at][::-1, ::-1])
        assert volume_image(found, case, "own").shape == MASKS[at].shape
    assert next(row for row in report.rows if row[0] == "case_0001")[1].endswith(
        ": CT, 11×9×7, 7 files, 0.8×0.7×2.5 mm"
    )


def test_nothing_of_the_patient_is_in_manifest_or_findings(tmp_path: Path) -> None:
    report = check(data_set(tmp_path / "set"))
    assert report.manifest is not None
    said = report.manifest.model_dump_json() + " ".join(map(str, report.findings)) + str(report.rows)
    assert not [word for word in PLANTED if word in said]
    (warned,) = [str(one) for one in report.findings if "tell who the patient is" in one.text]
    assert warned.startswith("35 of 35 DICOM files tell who the patient is (PatientBirthDate, PatientName, ")


def test_a_label_of_another_name_is_found_by_its_grid(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for at in range(3):
        study = root / f"p{at}"
        write_series(study / "DICOM", noise(seed=at), series=f"a{at}", origin=(at, 0, 0))
        write_series(study / "DICOM", noise(seed=at)[:, :, :5], series=f"b{at}", suffix=".b", origin=(at, 0, 0))
        write_label(study / "segmentation.nii.gz", MASKS[at], _longest(study / "DICOM"), turned=at == 1)
    manifest = check(root).manifest
    assert manifest is not None
    labeled = [case for case in manifest.cases if case.masks]
    assert len(labeled) == 3
    for case in labeled:
        at = int(case.masks[0][1])
        assert case.id == f"case_000{at + 1}"
        assert np.array_equal(volume_mask(manifest, case), MASKS[at][::-1, ::-1])


def test_a_series_directly_in_the_folder(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", noise())
    write_label(folder / "ct_mask.nii.gz", MASKS[0], folder)
    (case,) = discover(folder).cases
    assert case.images[0].startswith("ct#series-")
    assert case.masks == ("ct/ct_mask.nii.gz",)


def test_dicom_pictures_have_masks_as_png(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for at in range(4):
        image = patient(at, "DX", "DigitalXRayImageStorageForPresentation")
        set_pixels(image, rng.integers(0, 4000, (12, 10)).astype(np.uint16))
        save(image, tmp_path / "images" / f"x{at}.dcm", at)
        (tmp_path / "masks").mkdir(exist_ok=True)
        write_mask(tmp_path / "masks" / f"x{at}.png", (rng.random((12, 10)) > 0.5).astype(np.uint8) * 255)
    report = check(tmp_path)
    assert not [one for one in report.findings if one.severity == "error" and "split" not in one.text]
    assert report.manifest is not None
    assert [case.id for case in report.manifest.cases] == [f"case_000{at}" for at in range(1, 5)]


def test_series_without_masks_are_listed_and_no_data_set(tmp_path: Path) -> None:
    write_series(tmp_path / "a", noise())
    write_series(tmp_path / "b", noise(), skip=(2,))
    with pytest.raises(DataError, match=r"b#series-\w+: slices are 2\.5 mm apart, but 5 mm after 17\.50 mm"):
        discover(tmp_path)
    report = check(tmp_path)
    assert not report.usable
    said = [one.text for one in report.findings if one.severity == "error"]
    assert any("but 5 mm after 17.50 mm" in line for line in said)
    assert any(line.endswith("holds 1 image in DICOM, and no masks that belong to them") for line in said)


def test_text_in_pictures_is_warned_of(tmp_path: Path) -> None:
    image = patient("us", "US", "UltrasoundImageStorage")
    set_pixels(image, np.zeros((12, 10), np.uint8))
    save(image, tmp_path / "a" / "us.dcm", "us")
    assert any(
        "may show the patient's name or dates in the picture itself (us.dcm)" in str(one)
        for one in check(tmp_path).findings
    )
    assert NAME not in str(check(tmp_path).findings)


def _longest(folder: Path) -> Path:
    from delineate.data.formats.dicom.scan import scan

    found = max(scan(folder).series, key=lambda each: len(each[1].frames))
    return Path(str(found[0]))
