"""What Dice a mask will have: fitted where that beats the mean, told beside other numbers, left out where it does not hold."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration_record import record
from delineate.artefact.format import Artefact
from delineate.artefact.postprocessing import Postprocessing
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.engine.calibration.dice_regression import fit_expected_dice
from delineate.inference.doubt import DoubtSums
from delineate.inference.expected_dice import case_doubt, expected
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from micro_method import brightness

pytestmark = pytest.mark.usefixtures("micro")


def sums(inside: float, share: float, marked: float = 100.0, most: float = 0.99, names: int = 1) -> DoubtSums:
    """Of a mask with a mean probability inside of it, which has a share of all probability."""
    met = inside * marked
    whole = met / share if marked else 3.0
    each = [np.full(names, value, np.float64) for value in (marked, whole, met, most)]
    return DoubtSums(tuple("abc"[:names]), *each, 12.0, None, 1000)


def drawn(number: int, seed: int = 0, *, told: bool = True) -> tuple[list[DoubtSums], np.ndarray]:
    """Masks that are as good as they are sure, or have nothing to do with it."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.55, 0.98, number)
    doubts = [sums(one, one) for one in sure]
    return doubts, (2 * (sure if told else rng.permutation(sure)) - 1)[:, None]


def names(number: int) -> list[str]:
    return [f"patient {at}" for at in range(number)]


def test_it_is_found_where_certainty_tells() -> None:
    doubts, dice = drawn(60)
    found = fit_expected_dice(doubts, dice, names(60))
    assert found.model is not None
    assert found.model.error.value < 0.1 < found.model.baseline.value
    assert found.model.gain.low > 0
    assert np.mean(np.abs(np.array(found.crossed) - found.scores)) == pytest.approx(found.model.error.value)
    told = [expected(found.model.found, found.model.missing, sums(one, one))["a"] for one in (0.01, 0.6, 0.8, 0.95, 1)]
    assert told == sorted(told), "more certainty is never less Dice"
    assert min(told) >= 0
    assert told[-1] <= 1
    assert told[2] == pytest.approx(0.6, abs=0.1)


def test_it_is_not_stored_where_certainty_tells_nothing_or_cases_are_few() -> None:
    doubts, dice = drawn(60, told=False)
    found = fit_expected_dice(doubts, dice, names(60))
    assert found.model is None
    assert found.remark is not None
    assert "by cross-validation its mean absolute error is" in found.remark
    doubts, dice = drawn(60)
    few = fit_expected_dice(doubts, dice, names(15) * 4)
    assert few.model is None
    assert few.remark is not None
    assert "validation has 15 groups, and a regression on fewer than 20 would" in few.remark


def test_a_class_that_is_missing_has_a_line_of_its_own() -> None:
    """Of two classes, one is never found; where it was missing, one time in four something was overlooked."""
    rng = np.random.default_rng(1)
    doubts, dice = drawn(80)
    two = [
        DoubtSums(
            ("a", "b"),
            *(
                np.append(getattr(one, key), end)
                for key, end in zip(("marked", "expected", "met", "most"), (0.0, 1.0, 0.0, 0.3), strict=True)
            ),
            12.0,
            None,
            1000,
        )
        for one in doubts
    ]
    missed = (rng.random(80) < 0.25).astype(float)[:, None]
    found = fit_expected_dice(two, np.hstack([dice, 1 - missed]), names(80))
    assert found.model is not None
    told = expected(found.model.found, found.model.missing, two[0])
    assert told["b"] == pytest.approx(1 - missed.mean(), abs=0.02)
    case = case_doubt(two[0], found.model)
    assert case.expected_dice == pytest.approx(np.mean([told["a"], told["b"]]))
    assert case.expected_error == found.model.error.value
    assert case.reason.startswith(f"validation expects a Dice of {case.expected_dice:.2f} ± ")
    assert case_doubt(two[0], None) == two[0].case
    nothing = replace(two[0], marked=np.zeros(2), met=np.zeros(2))
    assert 0 <= expected(found.model.found, found.model.missing, nothing)["a"] <= 1, "never missing on validation"


def picture(path: Path, low: int, high: int, edge: int) -> None:
    pixels = np.full((32, 32), low, np.uint8)
    pixels[:, edge:] = high
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def test_predict_tells_it_and_review_goes_by_it(tmp_path: Path) -> None:
    doubts, dice = drawn(60)
    (one,) = (fit_expected_dice(doubts, dice, names(60)).model,)
    assert one is not None
    # Here a large mask is a bad one, whatever its certainty: the order is not that of confidence.
    line = one.found["a"].model_copy(
        update={"intercept": 0.0, "weights": (0.0, 0.0, -0.5), "low": (-5.0,) * 3, "high": (5.0, 5.0, 0.0)}
    )
    model = one.model_copy(update={"found": {"foreground": line}, "missing": {"foreground": one.missing["a"]}})
    found = record(1.5, expected_dice=model.model_dump())
    artefact = Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable(), calibration=found)
    picture(tmp_path / "in" / "large.png", 0, 255, 4)
    picture(tmp_path / "in" / "small.png", 120, 131, 24)
    options = {"review": tmp_path / "review.csv", "uncertainty": True, "overwrite": True}
    result = predict_files(Predictor(artefact, "cpu"), [tmp_path / "in"], tmp_path / "out", **options)
    rows = list(csv.DictReader((tmp_path / "review.csv").read_text().splitlines()))
    assert [Path(row["image"]).stem for row in rows] == ["large", "small"]
    assert float(rows[0]["confidence"]) > float(rows[1]["confidence"])
    assert float(rows[0]["expected_dice"]) < float(rows[1]["expected_dice"])
    assert rows[0]["expected_dice_error"] == f"{model.error.value:.4f}"
    assert "validation expects a Dice of" in rows[0]["reason"]
    summary = list(csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines()))
    assert {row["expected_dice"] for row in summary} == {row["expected_dice"] for row in rows}
    assert not any("expected Dice" in note for note in result.notes)

    other = replace(artefact, postprocessing=Postprocessing(dimensions=2, threshold=0.3))
    for predictor in (Predictor(artefact, "cpu", tta="flips"), Predictor(other, "cpu", postprocess=False)):
        result = predict_files(predictor, [tmp_path / "in"], tmp_path / "out", **options)
        assert any("with these options it is left out" in note for note in result.notes)
        assert "expected_dice" not in (tmp_path / "review.csv").read_text()
    assert Predictor(other, "cpu").expected_dice == model
