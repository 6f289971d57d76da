"""What `evaluate` may be asked for beside predictions and references, each through the whole path."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from squares import SIZE, listing, square, write

from delineate.common.errors import DataError
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and references of two patients with two slices each: shifted by 0, 4, 0 and 8 of 8 pixels."""
    names = ("p1_slice_0", "p1_slice_1", "p2_slice_0", "p2_slice_1")
    shifts = dict(zip(names, (0, 4, 0, 8), strict=True))
    references = write(tmp_path / "r", {name: square(4) for name in names})
    return write(tmp_path / "p", {name: square(4 + shift) for name, shift in shifts.items()}), references


def test_slices_become_volumes_with_lengths_in_mm_where_spacing_is_given(two):
    evaluation = evaluate_folders(*two, EvaluationOptions(stack="auto", metrics=("dice", "hd")))
    assert [row.case for row in evaluation.rows] == ["p1", "p2"]
    assert evaluation.headline() == pytest.approx((0.75 + 0.5) / 2), "(64 + 32) / 128 and 64 / 128"
    assert (evaluation.origin.level, evaluation.origin.length) == ("volume", "voxel")
    assert evaluation.headline("hd") == pytest.approx((4 + 8) / 2), "of the predictions' last columns"
    scaled = evaluate_folders(*two, EvaluationOptions(stack="auto", metrics=("dice", "hd"), spacing=(10, 0.5, 0.5)))
    assert scaled.origin.length == "mm"
    assert scaled.headline("hd") == pytest.approx((4 * 0.5 + 8 * 0.5) / 2)
    assert scaled.headline() == evaluation.headline()


def test_images_keep_their_own_scores_and_groups_make_them_one_sample(two):
    evaluation = evaluate_folders(*two, EvaluationOptions(group_by=r"^p\d", metrics=("dice",)))
    assert evaluation.headline() == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert (evaluation.summary.cases, evaluation.summary.groups) == (4, 2)
    assert evaluation.origin.grouping == r"groups by the name rule '^p\d'"
    assert evaluate_folders(*two, EvaluationOptions(group_by="none")).summary.groups == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EvaluationOptions(stack=r"(x)(\d)"), "slice rule"),
        (EvaluationOptions(group_by="q"), "matches none of the 4 cases"),
        (EvaluationOptions(spacing=(1, float("nan"))), "--spacing"),
        (EvaluationOptions(spacing=(1, 0)), "--spacing"),
        (EvaluationOptions(spacing=(1, 1, 1)), "--spacing has 3 values"),
        (EvaluationOptions(metrics=("dcie",)), "did you mean 'dice'"),
        (EvaluationOptions(protocol="condsge"), "did you mean 'condseg'"),
        (EvaluationOptions(metrics=("ece",)), "no probability maps; predict with --probabilities"),
        (EvaluationOptions(protocol="condseg", metrics=("hd",), spacing=(1, 1)), "leave out --metrics and --spacing"),
        (EvaluationOptions(metrics=("pq",), stack="auto"), "leave out --stack"),
        (EvaluationOptions(protocol="transunet-volume"), "it needs volumes"),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(two, tmp_path: Path, options: EvaluationOptions, message: str):
    with pytest.raises(DataError, match=message) as caught:
        evaluate_folders(*two, options, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_several_raters_their_majority_and_each_other(two, tmp_path: Path):
    predictions, first = two
    names = [path.stem for path in first.iterdir()]
    second = write(tmp_path / "r2", {name: square(8) for name in names})
    third = write(tmp_path / "r3", {name: square(4) for name in names})
    evaluation = evaluate_folders(predictions, first, EvaluationOptions(raters=(second, third)), out=tmp_path / "out")
    means = {roles: summary.headline() for roles, summary in evaluation.raters.items()}
    assert means["rater", "prediction", "r2"] == pytest.approx((0.5 + 1 + 0.5 + 0.5) / 4)
    assert means["majority", "prediction", "majority"] == evaluation.headline(), "two of three agree everywhere"
    assert means["between raters", "r3", "r"] == 1
    assert means["rater against the others", "r2", "majority of the others"] == pytest.approx(0.5)
    stored = ScoresFile.read(tmp_path / "out").content["raters"]
    assert stored["names"] == ["r", "r2", "r3"]
    assert len(stored["tables"]) == len(means) == 3 + 1 + 3 + 3
    rows = list(csv.DictReader((tmp_path / "out" / "raters.csv").open()))
    assert len(rows) == 4 * len(means)
    assert {row["kind"] for row in rows} == {kind for kind, _, _ in means}


def test_subgroups_have_their_own_means_and_the_warning(two, tmp_path: Path):
    table = tmp_path / "sites.csv"
    table.write_text("case,site\np1_slice_0,A\np1_slice_1,A\np2_slice_0,B\np2_slice_1,B\n")
    evaluate_folders(*two, EvaluationOptions(subgroups=table), out=tmp_path / "out")
    stored = ScoresFile.read(tmp_path / "out").content["subgroups"]
    (site,) = stored["attributes"]
    found = {level["level"]: (level["cases"], level["means"]["dice"]["all"]["mean"]) for level in site["levels"]}
    assert found == {"A": (2, 0.75), "B": (2, 0.5)}
    assert "2 subgroups of 1 attribute" in stored["warning"]


def test_protocols_replace_the_metrics_and_name_themselves(two, tmp_path: Path):
    evaluation = evaluate_folders(*two, EvaluationOptions(protocol="condseg"), out=tmp_path / "out")
    assert evaluation.headline() == pytest.approx(0.625, abs=0.02), "resized to 256×256"
    assert evaluation.protocol is not None
    assert evaluation.headline() == pytest.approx(evaluation.protocol.macro["dice"], abs=1e-12)
    stored = ScoresFile.read(tmp_path / "out")
    assert stored.origin.protocol == "condseg"
    assert "256×256" in stored.origin.protocol_words
    assert "approximation" in stored.content["protocol_scores"]["label"]
    pooled = evaluate_folders(*two, EvaluationOptions(protocol="vmunet-pooled"), out=tmp_path / "pooled")
    assert pooled.headline() == pytest.approx(0.625, abs=0.02), "all squares are equally large"
    assert pooled.summary.metrics == ()
    volumes = evaluate_folders(*two, EvaluationOptions(protocol="transunet-volume", stack="auto"))
    assert volumes.headline() == pytest.approx((0.75 + 0.5) / 2)
    # Of the 256 distances of p1, 192 are 0, 40 are 1 (32 of them to the slice beside), then 8 each are 2, 3 and 4: place 242 is 3.
    # Of p2: 128 are 0, 72 are 1, then 8 each are 2 to 8: place 242 is 7.
    assert volumes.headline("hd95") == pytest.approx((3 + 7) / 2)


def test_probability_maps_are_judged_beside_the_masks(two):
    predictions, _ = two
    (predictions / "probabilities").mkdir()
    for path in predictions.glob("*.png"):
        sure = np.where(cv2.imread(str(path), 0) > 0, 65535, 0).astype(np.uint16)
        cv2.imwrite(str(predictions / "probabilities" / path.name), sure)
    evaluation = evaluate_folders(*two, EvaluationOptions(metrics=("dice", "ece", "brier")))
    wrong = [0, 64, 0, 128]
    assert [row.scores["brier"] for row in evaluation.rows] == pytest.approx([n / SIZE**2 for n in wrong])
    assert evaluation.summary.macro["ece"]["all"].n == 4
    (predictions / "probabilities" / "p1_slice_0.png").unlink()
    with pytest.raises(DataError, match="1 case without probability map: p1_slice_0"):
        evaluate_folders(*two, EvaluationOptions(metrics=("ece",)))


def test_instance_maps_are_scored_by_object_and_by_their_union(tmp_path: Path):
    reference = square(2, 6, 1) + square(12, 6, 2)
    prediction = square(2, 6, 7) + square(20, 3, 9)
    references, predictions = write(tmp_path / "r", {"x": reference}), write(tmp_path / "p", {"x": prediction})
    evaluation = evaluate_folders(predictions, references, EvaluationOptions(metrics=("pq", "sq", "rq", "dice")))
    (row,) = evaluation.rows
    assert row.scores == pytest.approx({"dice": 2 * 36 / (72 + 45), "pq": 0.5, "sq": 1, "rq": 0.5})
    assert evaluation.summary.macro["pq"]["all"].mean == pytest.approx(0.5)


def test_whose_predictions_they_are_is_stored(two, tmp_path: Path):
    predictions, references = two
    listing(predictions, "unet", 3, *(path.stem for path in references.iterdir()))
    evaluate_folders(predictions, references, out=tmp_path / "out")
    origin = ScoresFile.read(tmp_path / "out").origin
    assert (origin.method, origin.seed, origin.predictions) == ("unet", 3, str(predictions))
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["metrics"]["dice"]["title"] == "Dice"
