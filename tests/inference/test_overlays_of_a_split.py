"""Overlays of a data set's split show the reference beside the prediction."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.artefact.format import Artefact
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import read_image
from delineate.data.layouts.source import DataSource
from delineate.inference.files import predict_files
from delineate.inference.overlay import PREDICTION, REFERENCE
from delineate.inference.predictor import Predictor
from micro_method import brightness


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six images whose right half is bright; masks of a square elsewhere; the last two are the test split."""
    for at in range(6):
        image, mask = np.zeros((600, 600), np.uint8), np.zeros((600, 600), np.uint8)
        image[:, 300:], mask[100:300, 50:200] = 255, 255
        for folder, pixels in (("images", image), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"c{at}.png"), pixels)
    (tmp_path / "train.txt").write_text("c0\nc1\nc2\n")
    (tmp_path / "val.txt").write_text("c3\n")
    (tmp_path / "test.txt").write_text("c4\nc5\n")
    return tmp_path


def has(path: Path, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(read_image(path).astype(int) - color).max(2) < 12).any())


def test_the_reference_is_drawn_for_a_split_and_not_for_loose_images(data: Path, tmp_path: Path):
    model = Predictor(Artefact(brightness(), InputSpec(size=(64, 64)), ClassTable()), "cpu")
    result = predict_files(model, [DataSource(data)], tmp_path / "split", split="test", overlay=True)
    assert result.notes == ()
    predict_files(model, [data / "images" / "c4.png"], tmp_path / "loose", overlay=True)
    for name, drawn in (("split", True), ("loose", False)):
        overlay = tmp_path / name / "overlays" / "c4.png"
        assert has(overlay, PREDICTION)
        assert has(overlay, REFERENCE) is drawn


def test_references_that_cannot_be_drawn_are_told_and_stop_nothing(data: Path, tmp_path: Path):
    cv2.imwrite(str(data / "masks" / "c5.png"), np.zeros((20, 20), np.uint8))
    model = Predictor(Artefact(brightness(), InputSpec(size=(64, 64)), ClassTable()), "cpu")
    result = predict_files(model, [DataSource(data)], tmp_path / "out", split="test", overlay=True)
    assert result.failures == ()
    assert result.notes == ("references that cannot be read, or are of another size, are not drawn: c5",)
    assert has(tmp_path / "out" / "overlays" / "c4.png", REFERENCE)
