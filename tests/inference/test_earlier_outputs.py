"""A folder that was predicted into before: nothing of an earlier model is taken for the new one's, nothing else is lost."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.images import write_mask
from delineate.data.formats.registry import read_mask
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.evaluation.results.evaluate import Evaluation, EvaluationOptions, evaluate_folders
from delineate.inference.files import predict_files
from delineate.inference.overlay import palette
from delineate.inference.predictor import Predictor
from micro_method import brightness

NAMES = tuple("abcdef")
FOUR = ClassTable(names=("background", "one", "two", "three"))


def make(classes: int = 1) -> Predictor:
    return Predictor(
        Artefact(brightness(classes), InputSpec(size=(32, 32)), ClassTable() if classes == 1 else FOUR), "cpu"
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images whose right half is bright, and masks of that half."""
    for name in NAMES:
        pixels = np.zeros((20, 30), np.uint8)
        pixels[:, 15:] = 255
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), pixels)
    return tmp_path


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def score(data: Path, **options: object) -> Evaluation:
    return evaluate_folders(data / "out", data / "masks", EvaluationOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", [1, 4])
def test_overwriting_removes_what_the_list_names_and_nothing_else(data: Path, classes: int):
    out = data / "out"
    predict_files(make(classes), [data / "images"], out, overlay=True, probabilities=True)
    before = files_in(out)
    kept = {"own.txt", "overlays/own.png", "evaluations.jsonl"}
    for name in kept:
        (out / name).write_text("a user's own")
    predict_files(make(classes), [data / "images" / "a.png"], out, overwrite=True)
    assert files_in(out) == kept | {"a.png", "summary.csv", "predictions.json"}
    assert len(before) == (3 if classes == 1 else 6) * len(NAMES) + 2
    assert not (out / "probabilities").exists(), "a folder that is left empty goes too"


def test_a_list_that_leads_out_of_the_folder_removes_nothing_there(data: Path):
    out = data / "out"
    predict_files(make(), [data / "images" / "a.png"], out)
    listed = json.loads((out / "predictions.json").read_text())
    listed["files"][0]["maps"] = {"../images/b.png": "0", str(data / "images" / "c.png"): "0", "../masks": "0"}
    (out / "predictions.json").write_text(json.dumps(listed))
    with pytest.raises(DataError, match="leads out of the folder"):
        predict_files(make(), [data / "images" / "a.png"], out, overwrite=True)
    assert files_in(data / "images") == files_in(data / "masks") == {f"{name}.png" for name in NAMES}


def test_an_earlier_output_is_not_removed_under_the_eyes_of_its_reader(data: Path):
    out = data / "out"
    predict_files(make(), [data / "images" / "a.png"], out, overlay=True)
    with pytest.raises(DataError, match=r"earlier output .* and an image to predict; give another --out"):
        predict_files(make(), [out / "overlays"], data / "out", overwrite=True, probabilities=True, overlay=False)
    assert {"a.png", "overlays/a.png", "predictions.json"} <= files_in(out)


def test_maps_of_an_earlier_model_are_ignored_and_that_is_said(data: Path):
    out = data / "out"
    predict_files(make(), [data / "images"], out, probabilities=True)
    listed = json.loads((out / "predictions.json").read_text())
    for file in listed["files"]:
        file["maps"] = {}
    (out / "predictions.json").write_text(json.dumps(listed))
    made = score(data, protocol="condseg")
    assert made.protocol is not None
    assert "from masks" in made.protocol.label
    assert any("6 probability maps" in note and "not of this model: ignored" in note for note in made.notes)
    with pytest.raises(
        DataError, match=r"no probability maps of these predictions \(6 files there are not of this model\)"
    ):
        score(data, metrics=("dice", "ece"))


def test_listed_maps_are_read_and_a_changed_one_is_refused(data: Path):
    out = data / "out"
    predict_files(make(), [data / "images"], out, probabilities=True)
    assert score(data, metrics=("dice", "ece")).notes == ()
    cv2.imwrite(str(out / "probabilities" / "c.png"), np.zeros((20, 30), np.uint16))
    with pytest.raises(DataError, match=r"c.png is not the map that was written .* predict again"):
        score(data, metrics=("dice", "ece"))
    (out / "probabilities" / "c.png").unlink()
    with pytest.raises(DataError, match=r"c.png is gone; predict again"):
        score(data, metrics=("dice", "ece"))


def test_lists_of_earlier_versions_name_no_maps_and_that_is_said(data: Path):
    out = data / "out"
    predict_files(make(), [data / "images"], out, probabilities=True)
    listed = PredictionList.find(out)
    assert listed is not None
    bare = [{"mask": file.mask, "image": file.image} for file in listed.files]
    (out / "predictions.json").write_text(json.dumps({**listed.model_dump(mode="json"), "files": bare}))
    made = score(data, metrics=("dice", "ece"))
    assert ["written by an earlier version" in note for note in made.notes] == [True]


def test_masks_that_were_changed_or_added_are_told(data: Path):
    out = data / "out"
    predict_files(make(), [data / "images"], out)
    assert score(data).notes == ()
    for name in ("b", "zz"):
        cv2.imwrite(str(out / f"{name}.png"), np.zeros((20, 30), np.uint8))
    changed, added = score(data).notes
    assert changed == "1 mask (b.png) was changed after predict had written them: the scores are not the model's own."
    assert added.startswith("1 mask (zz.png) is not listed in")
    (out / "d.png").unlink()
    with pytest.raises(DataError, match=r"lists is not there: d.png; restore them or predict again"):
        score(data)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), st.integers(0, 2**32 - 1))
def test_masks_of_several_classes_are_palettes_that_hold_the_values(tmp_path_factory, classes: int, seed: int):
    table = ClassTable(names=tuple(map(str, range(classes))))
    rng = np.random.default_rng(seed)
    mask = rng.choice(rng.integers(0, classes, 3), (9, 7)).astype(np.uint8)
    colors = palette(table)
    path = tmp_path_factory.mktemp("masks") / "m.png"
    write_mask(path, mask, palette=colors)
    assert np.array_equal(read_mask(path), mask)
    assert len(set(colors)) == classes, "no two classes look alike"
    assert path.read_bytes()[25] == 3, "a palette"


@pytest.mark.parametrize("gray", [0, 128, 254, 255])
def test_a_gray_class_color_does_not_turn_indices_into_gray_values(tmp_path: Path, gray: int):
    mask = np.array([[0, 2]], np.uint8)
    write_mask(tmp_path / "m.png", mask, palette=[(0, 0, 0), (9, 9, 9), (gray, gray, gray)])
    assert read_mask(tmp_path / "m.png").tolist() == [[0, 2]]
