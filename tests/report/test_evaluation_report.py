"""The page of an evaluation: its numbers are those stored, whatever the shape of the data, and its tables can be taken along."""

from __future__ import annotations

import base64
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fake_run import Fake, write_predictions
from markup import check_document, text_of
from PIL import Image

from delineate.data.core.manifest import ClassTable
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import Origin, write_scores
from delineate.evaluation.results.summary import summarize
from delineate.report.html.elements import number
from delineate.report.pages.evaluation import write_evaluation_report

HOSTILE = "<script>alert('x')</script> & \"q\""


def report(folder: Path) -> str:
    path = write_evaluation_report(folder)
    assert path == folder / "report.html"
    document = path.read_text(encoding="utf-8")
    check_document(document)
    assert not re.search(r">\s*(nan|None|inf)\s*<", document)
    return document


def evaluated(fake: Fake, folder: Path, **options) -> Path:
    """Predictions in files, scored against the masks in files."""
    write_predictions(fake, folder / "predictions", 2)
    evaluate_folders(folder / "predictions", fake.root / "masks", EvaluationOptions(**options), out=folder / "scores")
    return folder / "scores"


def scores_file(folder: Path, classes: tuple[str, ...], pairs: dict, **origin) -> Path:
    """Scores of arrays, case → (prediction, reference)."""
    table = ClassTable(names=("background", *classes))
    rows = [row for case, (ours, theirs) in pairs.items() for row in score_case(case, ours, theirs, table)]
    folder.mkdir()
    write_scores(folder, rows, summarize(rows), Origin(**origin))
    return folder


def downloaded(document: str) -> dict[str, str]:
    links = re.findall(r'href="data:text/csv;base64,([^"]*)" download="([^"]*)"', document)
    return {name: base64.b64decode(content).decode() for content, name in links}


@pytest.mark.parametrize("classes", [("polyp",), ("RV", "Myo", "LV")])
def test_every_stored_number_is_on_the_page(classes, tmp_path):
    folder = evaluated(Fake(tmp_path / "data", 8, classes), tmp_path)
    content = json.loads((folder / "scores.json").read_text())
    words = text_of(report(folder))
    tables = [content["macro"], *content["classes"].values()]
    for entry in (entry for table in tables for columns in table.values() for entry in columns.values()):
        assert number(entry["mean"]) in words
        if entry["low"] is not None:
            assert f"{number(entry['low'])} to {number(entry['high'])}" in words
    for value in (value for of in content["micro"].values() for value in of.values()):
        assert number(value) in words
    assert all(line in words for line in content["policy"].values())
    assert content["protocol_words"] in words


def test_pictures_show_worst_median_and_best(fake, tmp_path):
    folder = evaluated(fake, tmp_path)
    manifest = fake.manifest
    document = write_evaluation_report(folder, manifest).read_text()
    assert document.count("<img") == 9
    assert "The references are not at hand" not in document
    assert "The references are not at hand" not in report(folder), "the evaluation has noted them"
    noted = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").write_text(json.dumps(noted | {"references": str(tmp_path / "gone")}))
    assert "The references are not at hand" in report(folder)
    for image in (tmp_path / "predictions").glob("c0*.png"):
        image.write_bytes(b"gone")
    assert "c00.png" in text_of(report(folder))


def test_raters_and_subgroups(fake, tmp_path):
    second = tmp_path / "second observer"
    second.mkdir()
    for case, mask in fake.references.items():
        Image.fromarray(np.roll(mask, 2, 0)).save(second / f"{case}.png")
    attributes = tmp_path / "attributes.csv"
    with attributes.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["case", "site"], *([case, HOSTILE[: 8 + at % 2]] for at, case in enumerate(fake.images))]
        )
    folder = evaluated(fake, tmp_path, raters=(second,), subgroups=attributes)
    content = json.loads((folder / "scores.json").read_text())
    document = report(folder)
    words = text_of(document)
    for expected in (
        "how well people agree",
        "second observer against masks",
        "prediction against majority",
        "Many subgroups",
    ):
        assert expected in words
    assert content["subgroups"]["warning"] in words
    ceiling = next(one for one in content["raters"]["tables"] if one["kind"] == "between raters")
    assert f"The two raters reach Dice {number(ceiling['means']['dice']['all']['mean'])}" in words
    for level in content["subgroups"]["attributes"][0]["levels"]:
        assert level["level"] in words
        assert number(level["means"]["dice"]["all"]["mean"]) in words
    assert downloaded(document) == {name: (folder / name).read_text() for name in ("scores.csv", "raters.csv")}


@pytest.mark.parametrize("protocol", ["condseg", "vmunet-pooled"])
def test_a_papers_protocol_is_labeled(protocol, fake, tmp_path):
    folder = evaluated(fake, tmp_path, protocol=protocol)
    content = json.loads((folder / "scores.json").read_text())["protocol_scores"]
    words = text_of(report(folder))
    assert "Not the native protocol" in words
    assert words.count(content["label"]) >= 2
    for score in content["macro"].values():
        assert number(score) in words
    assert content["empty"] in words
    assert ("pools all pixels" in words) == (protocol == "vmunet-pooled")


def test_one_case_has_no_interval(tmp_path):
    mask = np.eye(8, dtype=np.uint8)
    words = text_of(report(scores_file(tmp_path / "one", ("polyp",), {"c": (mask, mask)})))
    assert "no interval: fewer than 6" in words
    assert "says little about others" in words


def test_a_class_that_no_reference_has(tmp_path):
    empty, mask = np.zeros((8, 8), np.uint8), np.eye(8, dtype=np.uint8)
    pairs = {f"c{at}": (mask, mask) for at in range(7)} | {"f": (mask * 2, empty)}
    words = text_of(report(scores_file(tmp_path / "scores", ("there", "absent"), pairs)))
    assert "“absent” is marked in 1 of the 8 cases that do not have it" in words
    assert "f" in words


def test_many_classes_and_hostile_names(tmp_path):
    random = np.random.default_rng(0)
    names = tuple(f"{HOSTILE} {at}" for at in range(15))
    pairs = {f"{HOSTILE}{at}": tuple(random.integers(0, 16, (2, 16, 16), np.uint8)) for at in range(6)}
    words = text_of(report(scores_file(tmp_path / "scores", names, pairs, predictions=HOSTILE, split=HOSTILE)))
    assert all(name in words for name in (*names, *pairs))


def test_a_large_set_stays_a_small_page(tmp_path):
    random = np.random.default_rng(0)
    pairs = {f"case-{at:05d}": tuple(random.integers(0, 2, (2, 4, 4), np.uint8)) for at in range(900)}
    document = report(scores_file(tmp_path / "scores", ("polyp",), pairs))
    assert len(document) < 5_000_000
    assert "Scores of the 20 worst of 900 cases" in document
    assert len(set(re.findall(r"case-\d{5}", document))) == 20


@pytest.mark.parametrize("test_accesses", [0, 1, 3])
def test_openings_of_the_test_split_are_told(test_accesses, tmp_path):
    mask = np.eye(8, dtype=np.uint8)
    folder = scores_file(tmp_path / "scores", ("polyp",), {"c": (mask, mask)}, split="test")
    content = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").write_text(json.dumps({**content, "test_accesses": test_accesses}))
    words = text_of(report(folder))
    assert (f"test cases opened {test_accesses}×" in words) == (test_accesses > 0)
    assert ("they are too good" in words) == (test_accesses > 1)
