"""Openings of a test split, noted in the card of the run whose model made the predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.common.files import sha256, write_json
from delineate.evaluation.openings import HEADING, note_opening
from delineate.evaluation.predictions import PredictionList

CARD = "# A model\n\nTrained on something.\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "recipe.yaml").write_text("name: unet\n")
    (folder / "card.md").write_text(CARD)
    return folder


def predictions(folder: Path, model: Path | None, digest: str | None) -> Path:
    folder.mkdir()
    given = None if model is None else str(model)
    PredictionList(method="unet", model=given, model_sha256=digest, class_names=("a", "b"), files=()).save(folder)
    return folder


def test_every_opening_stands_in_the_card(run: Path, tmp_path: Path) -> None:
    digest = sha256(run / "model.safetensors")
    for number, model in enumerate((run, run / "model.safetensors"), start=1):
        folder = predictions(tmp_path / f"p{number}", model, digest)
        assert note_opening(folder, tmp_path / "data", None, 7) == 1, "beside new predictions it is the first"
        lines = (run / "card.md").read_text().splitlines()
        assert lines[: len(CARD.splitlines())] == CARD.splitlines()
        assert lines.count(HEADING) == 1
        assert len([line for line in lines if "7 cases of" in line]) == number


@pytest.mark.parametrize("fault", ["another model", "no model", "gone", "no run", "no list"])
def test_cards_of_others_stay(run: Path, tmp_path: Path, fault: str) -> None:
    digest = "0" * 64 if fault == "another model" else sha256(run / "model.safetensors")
    folder = predictions(tmp_path / "p", None if fault == "no model" else run, digest)
    if fault == "gone":
        (run / "model.safetensors").unlink()
    if fault == "no run":
        (run / "recipe.yaml").unlink()
    if fault == "no list":
        (folder / "predictions.json").unlink()
    assert note_opening(folder, tmp_path / "data", tmp_path / "p", 7) == 1
    assert (run / "card.md").read_text() == CARD


@pytest.mark.parametrize("mask", ["../ref/a.png", "/etc/hosts", "..\\a.png", ""])
def test_a_list_of_predictions_does_not_lead_elsewhere(mask: str, tmp_path: Path) -> None:
    write_json(
        tmp_path / "predictions.json",
        {
            "method": "unet",
            "model": None,
            "model_sha256": None,
            "class_names": ["b", "f"],
            "files": [{"mask": mask, "image": "a"}],
        },
    )
    with pytest.raises(DataError, match=r"predictions\.json cannot be used: the mask"):
        PredictionList.find(tmp_path)
