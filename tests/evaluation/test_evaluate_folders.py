"""Folders of predictions against references: pairing, label rules, faults, and what is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.evaluation.inputs.prediction_list import PredictedFile, PredictionList
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders

FOUR = ClassTable(names=("background", "a", "b", "c"))


def write(path: Path, values: object, size: tuple[int, int] = (8, 12)) -> Path:
    """A mask whose quarters (from left to right) hold the values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.repeat(np.asarray(values, np.uint8), size[1] // len(values))
    assert cv2.imwrite(str(path), np.tile(row, (size[0], 1)))
    return path


def listing(folder: Path, names: tuple[str, ...], *masks: str) -> None:
    files = tuple(PredictedFile(mask=mask, image=mask) for mask in masks)
    PredictionList(method="micro", model="m.safetensors", model_sha256="0", class_names=names, files=files).save(folder)


def dataset(root: Path) -> Path:
    """Four cases with a test list of two."""
    for index, name in enumerate(("a", "b", "c", "d")):
        write(root / "images" / f"{name}.png", [10 * index, 90, 90, 90])
        write(root / "masks" / f"{name}.png", [0, 255, 255, 0] if name != "c" else [0, 0, 0, 0])
    for split, names in {"train": "a", "val": "b", "test": "c\nd"}.items():
        (root / f"{split}.txt").write_text(names)
    return root


def test_plain_folders(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 255, 255, 0])
    write(tmp_path / "p" / "y.png", [0, 0, 0, 0])
    write(tmp_path / "r" / "x.png", [0, 255, 0, 0])
    write(tmp_path / "r" / "y.png", [255, 255, 0, 0])
    evaluation = evaluate_folders(tmp_path / "p", tmp_path / "r", out=tmp_path / "out")
    assert evaluation.headline("dice") == pytest.approx((2 / 3 + 0) / 2)
    assert evaluation.headline("iou") == pytest.approx(0.25)
    assert (evaluation.split, evaluation.test_accesses) == ("all", 0)
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").open()))
    assert [(row["case"], row["dice"], row["present"], row["found"]) for row in rows] == [
        ("x", "0.666667", "1", "1"),
        ("y", "0.000000", "1", "0"),
    ]
    table = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert (table["format"], table["protocol"], table["headline"], table["length"]) == (2, "native", "all", "px")
    dice = table["macro"]["dice"]["all"]
    assert dice == {
        "mean": pytest.approx(1 / 3),
        "n": 2,
        "groups": 2,
        "low": None,
        "high": None,
        "how": "no interval: fewer than 6 cases",
    }
    assert table["micro"]["foreground"]["dice"] == pytest.approx(2 * 24 / (48 + 24 + 48))
    assert table["macro"]["hd95_pooled"]["found"]["n"] == 1
    assert table["macro"]["hd95_pooled"]["penalised"]["n"] == 2
    assert "both empty = 1" in table["policy"]["overlap, all"]
    assert not (tmp_path / "out" / "evaluations.jsonl").exists()


def test_perfect_predictions_score_one_whatever_their_values(tmp_path: Path):
    write(tmp_path / "zero-one" / "x.png", [0, 1, 1, 0])
    write(tmp_path / "white" / "x.png", [0, 255, 255, 0])
    for predictions in ("zero-one", "white"):
        for references in ("zero-one", "white"):
            assert evaluate_folders(tmp_path / predictions, tmp_path / references).headline() == 1


@pytest.mark.parametrize("ending", ["_mask", "_segmentation", "_Mask"])
def test_reference_endings(tmp_path: Path, ending: str):
    write(tmp_path / "p" / "x.png", [0, 255, 0, 0])
    write(tmp_path / "r" / f"x{ending}.png", [0, 255, 0, 0])
    assert evaluate_folders(tmp_path / "p", tmp_path / "r").headline() == 1


def test_several_masks_of_one_image_are_merged(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [255, 255, 0, 0])
    write(tmp_path / "r" / "x_mask.png", [0, 255, 0, 0])
    write(tmp_path / "r" / "x_mask_1.png", [255, 0, 0, 0])
    assert evaluate_folders(tmp_path / "p", tmp_path / "r").headline() == 1


def test_noisy_references_are_read_by_their_common_rule(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 255])
    values = np.repeat(np.array([[0, 255]], np.uint8), 60, axis=1).repeat(60, axis=0)
    values[::7, ::11] = np.where(values[::7, ::11] > 0, 250, 4)
    (tmp_path / "r").mkdir()
    cv2.imwrite(str(tmp_path / "r" / "x.png"), values)
    write(tmp_path / "p" / "x.png", [0, 255], size=(60, 120))
    assert evaluate_folders(tmp_path / "p", tmp_path / "r").headline() == 1


def test_data_set_scores_its_test_split_and_notes_it(tmp_path: Path):
    data = dataset(tmp_path / "data")
    write(tmp_path / "p" / "c.png", [0, 0, 0, 0])
    write(tmp_path / "p" / "d.png", [0, 255, 255, 0])
    listing(tmp_path / "p", ("background", "polyp"), "c.png", "d.png")
    for count in (1, 2):
        evaluation = evaluate_folders(tmp_path / "p", data, out=tmp_path / f"out{count}")
        assert evaluation.split == "test"
        assert evaluation.test_accesses == count
    assert evaluation.headline() == 1, "both empty counts as right"
    assert list(evaluation.summary.classes) == ["polyp"], "the model's names are used"
    notes = [json.loads(line) for line in (tmp_path / "p" / "evaluations.jsonl").read_text().splitlines()]
    assert [note["model"] for note in notes] == ["m.safetensors"] * 2
    assert notes[0]["cases"] == 2
    assert len((tmp_path / "out1" / "evaluations.jsonl").read_text().splitlines()) == 1


def test_other_splits_are_no_opening(tmp_path: Path):
    data = dataset(tmp_path / "data")
    write(tmp_path / "p" / "b.png", [0, 255, 255, 0])
    assert evaluate_folders(tmp_path / "p", data, EvaluationOptions(split="val")).test_accesses == 0
    with pytest.raises(DataError, match=r"1 prediction \(b\) .* split 'test'.*b is in split 'val'.*--split all"):
        evaluate_folders(tmp_path / "p", data)
    with pytest.raises(DataError, match=r"3 references \(a, c, d\) in split 'all' .* without a prediction"):
        evaluate_folders(tmp_path / "p", data, EvaluationOptions(split="all"))
    with pytest.raises(DataError, match="unknown split 'tset'"):
        evaluate_folders(tmp_path / "p", data, EvaluationOptions(split="tset"))


def test_manifest_of_a_run(tmp_path: Path):
    data = dataset(tmp_path / "data")
    cases = tuple(
        Case(id=name, images=(f"images/{name}.png",), masks=(f"masks/{name}.png",), split="test") for name in "ab"
    )
    rule = LabelRule(values={0: 0, 255: 1})
    Manifest(root=str(data), layout="x", split_origin="seeded", labels=rule, cases=cases).save(
        tmp_path / "manifest.json"
    )
    for name in "ab":
        write(tmp_path / "p" / f"{name}.png", [0, 255, 255, 0])
    evaluation = evaluate_folders(tmp_path / "p", tmp_path / "manifest.json")
    assert (evaluation.headline(), evaluation.summary.cases) == (1, 2)


def test_only_listed_masks_count(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 255, 0, 0])
    write(tmp_path / "p" / "left_over.png", [0, 255, 0, 0])
    listing(tmp_path / "p", ("background", "foreground"), "x.png")
    write(tmp_path / "r" / "x.png", [0, 255, 0, 0])
    assert evaluate_folders(tmp_path / "p", tmp_path / "r").headline() == 1


def test_predictions_in_sub_folders(tmp_path: Path):
    for name in ("u/x", "v/x"):
        write(tmp_path / "p" / f"{name}.png", [0, 255, 0, 0])
    listing(tmp_path / "p", ("background", "foreground"), "u/x.png", "v/x.png")
    write(tmp_path / "r" / "u_x.png", [0, 255, 0, 0])
    write(tmp_path / "r" / "v_x.png", [0, 255, 255, 0])
    evaluation = evaluate_folders(tmp_path / "p", tmp_path / "r")
    assert [row.scores["recall"] for row in evaluation.rows] == [1.0, 0.5]


def test_several_classes_and_one_that_no_reference_has(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 1, 2, 3])
    listing(tmp_path / "p", FOUR.names, "x.png")
    write(tmp_path / "r" / "x.png", [0, 1, 2, 2])
    evaluation = evaluate_folders(tmp_path / "p", tmp_path / "r")
    assert list(evaluation.summary.classes) == ["a", "b", "c"]
    assert evaluation.headline() == pytest.approx((1 + 2 / 3) / 2)
    assert evaluation.summary.outcomes["c"].false_positive == 1
    assert (
        evaluate_folders(tmp_path / "p", tmp_path / "r", EvaluationOptions(classes=FOUR)).headline()
        == evaluation.headline()
    )


def test_label_ids_with_gaps_become_the_classes_in_order(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 1, 2, 2])
    write(tmp_path / "r" / "x.png", [0, 5, 9, 9])
    assert evaluate_folders(tmp_path / "p", tmp_path / "r").headline() == 1


def test_ignored_pixels(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 1, 2, 2])
    write(tmp_path / "r" / "x.png", [0, 1, 2, 255])
    assert evaluate_folders(tmp_path / "p", tmp_path / "r").headline() == 1
    write(tmp_path / "p" / "y.png", [0, 1, 2, 2])
    write(tmp_path / "r" / "y.png", [255, 255, 255, 255])
    evaluation = evaluate_folders(tmp_path / "p", tmp_path / "r", out=tmp_path / "out")
    assert evaluation.headline() == 1
    assert evaluation.unscored == ("y",), "a case without valid pixels is not scored, and does not stop the others"
    assert {row.case for row in evaluation.rows} == {"x"}
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["unscored"] == ["y"]
    (tmp_path / "p" / "x.png").unlink()
    (tmp_path / "r" / "x.png").unlink()
    with pytest.raises(DataError):
        evaluate_folders(tmp_path / "p", tmp_path / "r")


def test_sizes_must_agree(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 255], size=(8, 12))
    write(tmp_path / "r" / "x.png", [0, 255], size=(16, 10))
    with pytest.raises(DataError, match=r"x\.png is 12×8 pixels but its reference .*x\.png is 10×16"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", out=tmp_path / "out")
    assert not (tmp_path / "out" / "scores.csv").exists()


@pytest.mark.parametrize(
    ("prediction", "reference", "message"),
    [
        ([0, 128, 255, 0], [0, 255, 0, 0], r"x\.png has the values 0, 128, 255; .* 0 and 255, or 0 and 1"),
        ([0, 1, 2, 7], [0, 1, 2, 2], r"values 0, 1, 2, 7; .* class indices 0…2"),
        ([0, 255, 0, 0], [0, 13, 255, 100], "unexpected mask values"),
    ],
)
def test_unexpected_values(tmp_path: Path, prediction: list[int], reference: list[int], message: str):
    write(tmp_path / "p" / "x.png", prediction)
    write(tmp_path / "r" / "x.png", reference)
    write(tmp_path / "p" / "y.png", [0, 0, 0, 0])
    write(tmp_path / "r" / "y.png", reference)
    with pytest.raises(DataError, match=message) as caught:
        evaluate_folders(tmp_path / "p", tmp_path / "r")
    assert "\n" not in str(caught.value)


def test_class_counts_must_agree(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 1, 2, 3])
    listing(tmp_path / "p", FOUR.names, "x.png")
    write(tmp_path / "r" / "x.png", [0, 255, 255, 0])
    with pytest.raises(DataError, match=r"predictions have 4 classes .background, a, b, c.*have 2"):
        evaluate_folders(tmp_path / "p", tmp_path / "r")


def test_names_must_agree(tmp_path: Path):
    for name in "abcdefg":
        write(tmp_path / "p" / f"{name}.png", [0, 255])
    write(tmp_path / "r" / "a.png", [0, 255])
    with pytest.raises(DataError, match=r"6 predictions \(b, c, d, e, f and 1 more\) in .* without a reference"):
        evaluate_folders(tmp_path / "p", tmp_path / "r")
    for name in "bcdefgh":
        write(tmp_path / "r" / f"{name}.png", [0, 255])
    with pytest.raises(DataError, match=r"1 reference \(h\) .* without a prediction.*give the data set's folder"):
        evaluate_folders(tmp_path / "p", tmp_path / "r")


def test_two_predictions_of_one_case(tmp_path: Path):
    write(tmp_path / "p" / "a.png", [0, 255])
    write(tmp_path / "p" / "a_mask.png", [0, 255])
    write(tmp_path / "r" / "a.png", [0, 255])
    with pytest.raises(DataError, match="both predictions of 'a'"):
        evaluate_folders(tmp_path / "p", tmp_path / "r")


def test_folders_that_are_not_there(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "p" / "x.png", [0, 255])
    with pytest.raises(DataError, match=r"there is no folder .*absent"):
        evaluate_folders(tmp_path / "absent", tmp_path / "p")
    with pytest.raises(DataError, match="holds no masks"):
        evaluate_folders(tmp_path / "empty", tmp_path / "p")
    with pytest.raises(DataError, match=r"there is no folder .*absent"):
        evaluate_folders(tmp_path / "p", tmp_path / "absent")
    with pytest.raises(DataError, match="no pairs of images and masks"):
        evaluate_folders(tmp_path / "p", tmp_path / "empty")


def test_damaged_files(tmp_path: Path):
    write(tmp_path / "p" / "x.png", [0, 255])
    write(tmp_path / "r" / "x.png", [0, 255])
    (tmp_path / "p" / "predictions.json").write_text("{")
    with pytest.raises(DataError, match=r"predictions\.json cannot be read"):
        evaluate_folders(tmp_path / "p", tmp_path / "r")
    (tmp_path / "p" / "predictions.json").unlink()
    (tmp_path / "p" / "x.png").write_bytes(b"not an image at all")
    with pytest.raises(DataError, match=r"x\.png"):
        evaluate_folders(tmp_path / "p", tmp_path / "r")
