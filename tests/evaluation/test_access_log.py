"""Accesses of a test split: noted wherever it belongs, and counted whatever the folders are called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from squares import square, write

from delineate.common.errors import DelineateError
from delineate.common.files import sha256
from delineate.evaluation.inputs import test_access_log
from delineate.evaluation.inputs.prediction_list import PredictedFile, PredictionList
from delineate.evaluation.inputs.test_access_log import ACCESS_LOG_FILE, HEADING, USER_FILE, Access, note_access
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders

CARD = "# A model\n\nTrained on something.\n"
MASKS = [f"{number:064x}" for number in range(10**9, 10**9 + 30)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "recipe.yaml").write_text("name: unet\n")
    (folder / "card.md").write_text(CARD)
    return folder


def opening(folder: Path, model: Path | None = None, digest: str | None = None, masks: list[str] = MASKS) -> Access:
    folder.mkdir(exist_ok=True)
    return Access(folder.parent / "data", 7, [mask[::-1] for mask in masks], folder, model, digest)


def test_every_opening_stands_in_the_card_and_counts(run: Path, tmp_path: Path) -> None:
    digest = sha256(run / "model.safetensors")
    for number, model in enumerate((run, run / "model.safetensors"), start=1):
        found = note_access(opening(tmp_path / f"p{number}", model, digest), None)
        assert (found.own, found.total) == (number, number), "new predictions of the model are no new start"
        lines = (run / "card.md").read_text().splitlines()
        assert lines[: len(CARD.splitlines())] == CARD.splitlines()
        assert lines.count(HEADING) == 1
        assert len([line for line in lines if "7 cases of" in line]) == number
    other = note_access(opening(tmp_path / "p3", None), None)
    assert (other.own, other.total) == (1, 3)


@pytest.mark.parametrize("fault", ["another model", "no model", "gone", "no run"])
def test_cards_of_others_stay(run: Path, tmp_path: Path, fault: str) -> None:
    digest = "0" * 64 if fault == "another model" else sha256(run / "model.safetensors")
    asked = opening(tmp_path / "p", None if fault == "no model" else run, None if fault == "no model" else digest)
    if fault == "gone":
        (run / "model.safetensors").unlink()
    if fault == "no run":
        (run / "recipe.yaml").unlink()
    assert note_access(asked, tmp_path / "p").own == 1
    assert (run / "card.md").read_text() == CARD


def test_a_part_of_the_cases_is_the_same_test_set_and_others_are_not(tmp_path: Path) -> None:
    assert note_access(opening(tmp_path / "p"), None).total == 1
    assert note_access(opening(tmp_path / "q", masks=MASKS[:12]), None).total == 2
    assert note_access(opening(tmp_path / "r", masks=[f"{number:064x}" for number in range(77, 99)]), None).total == 1


def test_places_that_cannot_be_written_are_told(
    tmp_path: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_line = test_access_log.append_line

    def refuse(target: Path, line: str) -> None:
        if "locked" in str(target):
            raise DelineateError(f"cannot write {target}: read-only")
        write_line(target, line)

    monkeypatch.setattr(test_access_log, "append_line", refuse)
    found = note_access(opening(tmp_path / "locked"), tmp_path / "out")
    assert found.total == 1
    assert "noted elsewhere alone: cannot write" in found.remarks[0]
    assert (tmp_path / "out" / ACCESS_LOG_FILE).is_file()
    assert (own_state / "delineate" / USER_FILE).is_file()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "locked" / "state"))
    with pytest.raises(DelineateError, match="must be noted, but cannot write"):
        note_access(opening(tmp_path / "locked"), None)


def data_set(folder: Path) -> Path:
    """Pictures with masks that all differ; a third each for training, validation and testing."""
    masks = {f"c{number}": square(number % 12, 4 + number // 2) for number in range(9)}
    write(folder / "masks", masks)
    write(folder / "images", {name: mask // 2 + np.uint8(3) for name, mask in masks.items()})
    for at, split in enumerate(("train", "val", "test")):
        (folder / f"{split}.txt").write_text("\n".join(f"c{number}" for number in range(3 * at, 3 * at + 3)))
    return folder


def predicted(folder: Path, data: Path, names: range = range(6, 9), *, listed: bool = True) -> Path:
    """Predictions of some cases, which are as good as can be."""
    folder.mkdir()
    for number in names:
        shutil.copy(data / "masks" / f"c{number}.png", folder)
    files = tuple(PredictedFile(mask=f"c{number}.png", image=f"c{number}.png") for number in names)
    if listed:
        PredictionList(
            method="unet", model="m", model_sha256="1" * 64, class_names=("background", "foreground"), files=files
        ).save(folder)
    return folder


def test_no_way_of_asking_escapes_the_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_set(tmp_path / "data")
    count, folders = iter(range(1, 99)), iter(range(99))

    def asked(predictions: Path, references: Path, split: str | None = None) -> int:
        where = tmp_path / f"scores{next(folders)}"
        return evaluate_folders(
            predictions, references, EvaluationOptions(split=split, metrics=("dice",)), out=where
        ).test_accesses_in_all

    first = predicted(tmp_path / "p", data)
    assert asked(first, data) == next(count)
    assert asked(first, data, "test") == next(count)
    assert asked(predicted(tmp_path / "all", data, range(9)), data, "all") == next(count)
    assert asked(predicted(tmp_path / "new", data), data) == next(count)
    assert asked(predicted(tmp_path / "bare", data, listed=False), data) == next(count)
    shutil.copytree(first, tmp_path / "renamed")
    monkeypatch.chdir(tmp_path / "renamed")
    assert asked(Path("../renamed"), Path("../data")) == next(count)
    whole = predicted(tmp_path / "whole", data, range(9))
    assert asked(whole, data / "masks") == next(count), "the lists beside a folder of masks tell of its test cases"
    shutil.copytree(data / "masks", tmp_path / "copy" / "test" / "masks")
    assert asked(whole, tmp_path / "copy" / "test" / "masks") == next(count)
    assert asked(predicted(tmp_path / "training", data, range(3)), data, "train") == 0
    assert len((tmp_path / "scores1" / ACCESS_LOG_FILE).read_text().splitlines()) == 1
    assert os.environ["XDG_STATE_HOME"]
