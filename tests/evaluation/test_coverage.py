"""Scores of what is left when the least sure cases are looked at: by hand, by property, and on the page of an evaluation."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import delineate
from delineate.artefact.format import Artefact
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.evaluation.statistics import coverage
from delineate.evaluation.statistics.coverage import coverage_of
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from micro_method import brightness


def test_the_curve_by_hand() -> None:
    sure = [0.9, 0.1, 0.8, 0.2, *[0.95] * 6]
    scores = [0.9, 0.0, 0.8, 1.0, *[0.9] * 6]
    found = coverage_of(sure, scores, shares=(0, 0.1, 0.2, 0.45))
    assert found is not None
    assert found.looked_at == (0, 1, 2, 5)
    assert found.rest == pytest.approx((0.81, 8.1 / 9, 7.1 / 8, 0.9))
    assert found.best == pytest.approx((0.81, 8.1 / 9, 7.3 / 8, 4.6 / 5))
    assert all(low <= value <= high for value, (low, high) in zip(found.rest, found.intervals, strict=True))


def test_too_few_cases_are_no_curve() -> None:
    assert coverage_of([0.5] * 9, [0.5] * 9) is None
    found = coverage_of([0.5] * 10, [0.5] * 10)
    assert found is not None
    assert math.isnan(found.correlation)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), cases=st.integers(10, 30))
def test_nothing_beats_the_lowest_first(seed: int, cases: int) -> None:
    rng = np.random.default_rng(seed)
    sure, scores = rng.random(cases), rng.random(cases)
    found = coverage_of(sure, scores, groups=rng.integers(0, 5, cases).tolist())
    assert found is not None
    assert found.rest[0] == pytest.approx(scores.mean()) == found.best[0]
    assert all(best >= rest - 1e-12 for best, rest in zip(found.best, found.rest, strict=True))
    perfect = coverage_of(scores, scores)
    assert perfect is not None
    assert perfect.rest == perfect.best
    assert perfect.correlation == pytest.approx(1)


def test_few_groups_make_wide_intervals() -> None:
    rng = np.random.default_rng(0)
    scores = np.repeat(rng.random(4), 10)
    sure = scores + rng.normal(0, 0.01, 40)
    alone, grouped = coverage_of(sure, scores), coverage_of(sure, scores, np.repeat(np.arange(4), 10).tolist())
    assert alone is not None and grouped is not None  # noqa: PT018
    assert np.ptp(grouped.intervals[0]) > 1.5 * np.ptp(alone.intervals[0])


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    """Twelve pictures with a bright half, the fainter the less sure; of the faintest the reference is another half."""
    predictor = Predictor(Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable()), "cpu")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for at in range(12):
        image, mask = np.full((32, 32), 120 - 9 * at, np.uint8), np.zeros((32, 32), np.uint8)
        image[:, 16:] = 131 + 9 * at
        mask[:, 16:] = 255
        assert cv2.imwrite(str(tmp_path / "images" / f"case{at:02d}.png"), image)
        assert cv2.imwrite(str(tmp_path / "masks" / f"case{at:02d}.png"), mask if at else mask[:, ::-1])
    predict_files(predictor, [tmp_path / "images"], tmp_path / "out", uncertainty=True)
    return tmp_path


def test_the_page_tells_what_looking_brings(predicted: Path) -> None:
    delineate.evaluate(predicted / "out", predicted / "masks", out=predicted / "scores")
    told = json.loads((predicted / "scores" / "scores.json").read_text())["confidence"]
    assert min(told, key=told.__getitem__) == "case00"
    page = (predicted / "scores" / "report.html").read_text(encoding="utf-8")
    assert "If a person looks at the 10\u202f% least sure (2 cases)" in page.replace("10%", "10\u202f%")
    assert "Dice of the rest is 1.0000" in page or "Dice of the rest is 1" in page


def test_the_page_goes_by_the_expected_dice_too(predicted: Path) -> None:
    listed = predicted / "out" / "predictions.json"
    content = json.loads(listed.read_text())
    for at, file in enumerate(content["files"]):
        file["expected_dice"] = 0.5 + at / 24
    listed.write_text(json.dumps(content))
    delineate.evaluate(predicted / "out", predicted / "masks", out=predicted / "scores")
    assert json.loads((predicted / "scores" / "scores.json").read_text())["expected_dice"]["case11"] == 0.5 + 11 / 24
    page = (predicted / "scores" / "report.html").read_text(encoding="utf-8")
    assert "By the Dice that the model expects, Dice of the rest is 1" in page
    assert "lowest expected Dice first" in page
    off = np.mean([abs(0.5 + at / 24 - (at > 0)) for at in range(12)])
    assert f"differ by {off:.3f}" in page
    for file in content["files"][:1]:
        file["expected_dice"] = None
    listed.write_text(json.dumps(content))
    delineate.evaluate(predicted / "out", predicted / "masks", out=predicted / "again")
    assert "By the Dice" not in (predicted / "again" / "report.html").read_text(encoding="utf-8")


def test_a_mask_that_was_changed_has_no_confidence(predicted: Path) -> None:
    cv2.imwrite(str(predicted / "out" / "case03.png"), np.zeros((32, 32), np.uint8))
    delineate.evaluate(predicted / "out", predicted / "masks", out=predicted / "scores")
    assert "confidence" not in json.loads((predicted / "scores" / "scores.json").read_text())
    page = (predicted / "scores" / "report.html").read_text(encoding="utf-8")
    assert "If a person looks" not in page


def test_resampling_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_RESAMPLES", 50)
    rng = np.random.default_rng(1)
    sure, scores = rng.random(20).tolist(), rng.random(20).tolist()
    assert coverage_of(sure, scores) == coverage_of(sure, scores)
