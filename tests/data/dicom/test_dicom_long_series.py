"""66 slices written in all sorts of ways: their very values at their very places, or told what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.doctor.check import check
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.registry import open_image
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from long_series import SLICES, VARIANTS
from micro_method import brightness

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
VALUES = np.random.default_rng(0).integers(-1000, 1400, (14, 12, SLICES)).astype(np.int16)
SOUND = [name for name, variant in VARIANTS.items() if not variant.refused]
FAULTY = [name for name, variant in VARIANTS.items() if variant.refused]


def predicted(folder: Path, out: Path) -> list[str]:
    """What is said of each image, by another reader's word too."""
    model = Predictor(Artefact(brightness(1, 1), InputSpec(size=(14, 12), channels="gray"), ClassTable()), "cpu")
    files = predict_files(model, [folder], out, check=True).files
    return [f"{file.error or ''} {file.remark or ''}" for file in files]


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_series_is_read_as_it_was_made(tmp_path: Path, name: str) -> None:
    variant = VARIANTS[name]
    variant.write(tmp_path / "ct", VALUES)
    (address, *_) = scan(tmp_path / "ct").addresses
    handle = open_image(address)
    assert isinstance(handle, DicomHandle)
    assert handle.geometry is not None
    expected = VALUES[:, :, SLICES - handle.shape[2] :]
    off = np.abs(handle.read().astype(np.float64) - expected)
    off = np.minimum(off, np.abs(handle.read() - (expected + 7.0))) if name == "two acquisitions" else off
    assert off.max() <= variant.off
    corners = np.array([[0, 0, 0], [13, 11, handle.shape[2] - 1], [13, 0, 5]], np.float64)
    assert np.abs(handle.geometry.positions(corners) - variant.place(corners)).max() < 1e-3
    assert any(variant.told in note for note in (*handle.notes, "")) if variant.told else not handle.notes
    (said, *_) = predicted(tmp_path / "ct", tmp_path / "out")
    assert variant.told in said
    assert "failed" not in said
    assert (tmp_path / "out" / "case_0001.seg.dcm").is_file()


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_series_is_told(tmp_path: Path, name: str) -> None:
    variant = VARIANTS[name]
    variant.write(tmp_path / "ct", VALUES)
    report = check(tmp_path / "ct")
    assert not report.usable
    assert any(variant.told in str(finding) for finding in report.findings), report.findings
    try:
        said = predicted(tmp_path / "ct", tmp_path / "out")
    except DataError as error:
        said = [str(error)]
    assert all(line.strip() for line in said)
    if name != "a slope that is no number":  # that file is left out with a note, and leaves a gap
        assert any(variant.told in line for line in said)


def test_slices_without_pixel_spacing_are_pictures_and_that_is_told(tmp_path: Path) -> None:
    VARIANTS["no pixel spacing"].write(tmp_path / "ct", VALUES)
    said = predicted(tmp_path / "ct", tmp_path / "out")
    assert len(said) == SLICES
    assert all("a slice without PixelSpacing (0028,0030): it can be no part of a volume" in line for line in said)
    assert len(list((tmp_path / "out").glob("case_*.png"))) == SLICES
