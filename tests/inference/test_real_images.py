"""Prediction and evaluation on real files, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from delineate.artefact.format import Artefact
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import open_image
from delineate.evaluation.results.evaluate import evaluate_folders
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from micro_method import brightness

pytestmark = pytest.mark.data


def predictor() -> Predictor:
    return Predictor(Artefact(brightness(), InputSpec(size=(64, 64)), ClassTable()), "cpu")


def test_odd_files_are_masked_or_named(shared_data: Path, tmp_path: Path):
    result = predict_files(predictor(), [f"{shared_data}/IO-samples/**/*"], tmp_path / "out", overlay=True)
    unnamed = [
        file for file in result.failures if "has no SOPInstanceUID, so that no mask can refer to it" in str(file.error)
    ]
    # Three files of one series, which is one image.
    assert [file.image.name.partition("#")[0] for file in unnamed] == ["ct_dicom"]
    assert len(unnamed) == len(result.failures)
    for file in result.files:
        if file.error is None:
            assert file.written is not None
            image, mask = open_image(file.image), open_image(tmp_path / "out" / file.written.mask)
            assert mask.shape == image.shape
            assert mask.dtype == np.uint8
            if image.geometry is not None and mask.geometry is not None:
                corners = [[0, 0, 0], [size - 1 for size in image.geometry.shape]]
                assert np.allclose(mask.geometry.positions(corners), image.geometry.positions(corners), atol=1e-3)
    assert sum(file.depth > 0 for file in result.files) == 10


@pytest.mark.parametrize("name", ["DSB2018", "ACDC-slices", "BUSI"])
def test_references_against_themselves(shared_data: Path, tmp_path: Path, name: str):
    """All values, sizes and empty masks of the set are read as they should be: perfect predictions score 1."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    for stem in (shared_data / name / "test.txt").read_text().split("\n"):
        if stem.strip():
            (folder / f"{stem}.png").symlink_to(shared_data / name / "masks" / f"{stem}.png")
    evaluation = evaluate_folders(folder, shared_data / name)
    assert evaluation.split == "test"
    assert {row.scores["dice"] for row in evaluation.rows} == {1.0}
    assert evaluation.summary.cases == {"DSB2018": 67, "ACDC-slices": 92, "BUSI": 156}[name]
