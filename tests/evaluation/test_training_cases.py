"""Cases that a model was trained on are told, whatever they are called and wherever they lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from squares import square, write
from test_access_log import data_set

from delineate.artefact.format import Artefact, save
from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.known import DIGITS, KnownPictures
from delineate.data.core.manifest import Case, ClassTable, Manifest
from delineate.data.loading.open_data import open_data
from delineate.evaluation.results.evaluate import Evaluation, EvaluationOptions, evaluate_folders
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from delineate.report.pages.evaluation import write_evaluation_report
from micro_method import brightness

pytestmark = pytest.mark.usefixtures("micro")


def model(folder: Path, data: Path, *, tells: bool = True) -> Path:
    """A run whose artefact tells of the pictures that it was made from, and whose manifest does."""
    manifest, _ = open_data(data)
    manifest.save(folder / "manifest.json")
    pictures = {"pictures": KnownPictures.of(manifest.cases).to_json()} if tells else {}
    artefact = Artefact(brightness(), InputSpec(size=(24, 24)), ClassTable(), provenance=pictures)
    save(folder / "model.safetensors", artefact)
    return folder


def scored(run: Path, images: list[Path], references: Path, out: Path, split: str | None = None) -> Evaluation:
    predict_files(load(run), images, out / "p")
    return evaluate_folders(out / "p", references, EvaluationOptions(split=split, metrics=("dice",)), out=out / "s")  # type: ignore[arg-type]


@pytest.mark.parametrize("tells", [True, False])
def test_training_cases_are_told_in_the_first_place(tmp_path: Path, tells: bool) -> None:
    data = data_set(tmp_path / "data")
    run = model(tmp_path / "run", data, tells=tells)
    everything = sorted((data / "images").iterdir())
    found = scored(run, everything, data / "masks", tmp_path / "all")
    assert found.notes[0].startswith("3 of 9 scored cases were used to train this very model: c0, c1, c2;")
    assert found.notes[1].startswith("3 of 9 scored cases were used to choose the model's weights: c3, c4, c5;")
    assert found.test_accesses == 1
    assert json.loads((tmp_path / "all" / "s" / "scores.json").read_text())["notes"] == list(found.notes)
    page = write_evaluation_report(tmp_path / "all" / "s").read_text()
    assert page.index("train this very model") < page.index("What can be concluded")
    tested = scored(run, everything[6:], data, tmp_path / "test")
    assert tested.notes == ()
    assert tested.test_accesses == 2


def test_other_names_folders_and_formats_hide_nothing(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data")
    run = model(tmp_path / "run", data)
    for number in range(9):
        image = cv2.imread(str(data / "images" / f"c{number}.png"), cv2.IMREAD_UNCHANGED)
        (tmp_path / "other").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "other" / f"new{number}.tif"), image)
        (tmp_path / "marked").mkdir(exist_ok=True)
        shutil.copy(data / "masks" / f"c{number}.png", tmp_path / "marked" / f"new{number}.png")
    found = scored(run, sorted((tmp_path / "other").iterdir()), tmp_path / "marked", tmp_path / "e")
    assert "train this very model: new0, new1, new2" in found.notes[0]
    assert found.test_accesses == 1, "three of them are the model's own test cases"


def test_renamed_predictions_are_known_by_their_content(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data")
    run = model(tmp_path / "run", data)
    predict_files(load(run), sorted((data / "images").iterdir()), tmp_path / "p")
    (tmp_path / "marked").mkdir()
    for number in range(9):
        (tmp_path / "p" / f"c{number}.png").rename(tmp_path / "p" / f"new{number}.png")
        shutil.copy(data / "masks" / f"c{number}.png", tmp_path / "marked" / f"new{number}.png")
    found = evaluate_folders(
        tmp_path / "p", tmp_path / "marked", EvaluationOptions(metrics=("dice",)), out=tmp_path / "s"
    )
    assert found.notes[0].startswith("3 of 9 scored cases were used to train this very model: new")
    (tmp_path / "p" / "new4.png").unlink()
    with pytest.raises(DataError, match=r"1 mask that .*predictions.json lists is not there: c\d.png; restore"):
        evaluate_folders(tmp_path / "p", tmp_path / "marked", EvaluationOptions(metrics=("dice",)))


def test_new_cases_and_models_that_do_not_tell_say_nothing(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data")
    images = write(tmp_path / "new" / "images", {f"n{number}": square(number, 5) + np.uint8(9) for number in range(4)})
    masks = write(tmp_path / "new" / "masks", {f"n{number}": square(number, 5) for number in range(4)})
    run = model(tmp_path / "run", data)
    assert scored(run, sorted(images.iterdir()), masks, tmp_path / "e").notes == ()
    silent = model(tmp_path / "silent", data, tells=False)
    (silent / "manifest.json").unlink()
    found = scored(silent, sorted((data / "images").iterdir()), data / "masks", tmp_path / "f")
    assert found.notes == ()


def test_what_a_model_started_from_counts(tmp_path: Path) -> None:
    cases = [Case(id=f"{at}", images=("x",), split="train", pixels=f"{at:064x}"[::-1]) for at in range(4)]
    first = KnownPictures.of(cases)
    second = KnownPictures.of([cases[0].model_copy(update={"split": "test"})], first)
    assert second.roles[(cases[0].pixels or "")[:DIGITS]] == "before", (
        "trained on before weighs more than kept for testing now"
    )
    assert set(second.roles.values()) == {"before"}


@given(st.dictionaries(st.integers(0, 16**12 - 1), st.sampled_from(["train", "val", "test"]), max_size=30))
def test_known_pictures_come_back(content: dict[int, str]) -> None:
    cases = [
        Case(id=str(at), images=("x",), split=split, pixels=f"{at:012x}".ljust(64, "0"))  # type: ignore[arg-type]
        for at, split in content.items()
    ]
    known = KnownPictures.of(cases)
    assert KnownPictures.read(json.loads(json.dumps(known.to_json()))).roles == known.roles
    assert len(known.roles) == len(content)


@pytest.mark.parametrize("content", [None, {}, [], {"train": "ab"}, {"other": "x"}, "text"])
def test_strange_content_is_no_picture(content: object) -> None:
    assert KnownPictures.read(content).role_of(np.zeros((2, 2), np.uint8)) is None


def test_manifests_of_older_versions_have_no_pictures(tmp_path: Path) -> None:
    case = '{"id": "a", "images": ["a.png"], "split": "train", "hashes": {"a.png": "00"}}'
    text = f'{{"root": "x", "layout": "", "split_origin": "", "cases": [{case}]}}'
    (tmp_path / "manifest.json").write_text(text)
    manifest = Manifest.load(tmp_path / "manifest.json")
    assert KnownPictures.of(manifest.cases).roles == {}
    assert manifest.leaks is None
    assert sha256(tmp_path / "manifest.json")
