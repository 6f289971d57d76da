"""The page that compares runs."""

from __future__ import annotations

import pytest
from fake_run import write_predictions, write_run
from markup import check_document, text_of

from delineate.common.errors import DataError
from delineate.report.compare import Entry, choose_cases, write_comparison
from delineate.report.run import write_run_report


@pytest.fixture
def entries(fake, tmp_path):
    result = []
    for name, shift in (("condseg", 3), ("unet", 2)):
        run = write_run(fake, tmp_path / name, method=name)
        write_run_report(run)
        predictions = write_predictions(fake, tmp_path / f"{name} test", shift)
        result.append(Entry(name, run, predictions, predictions / "evaluation"))
    return result


def test_page(entries, tmp_path):
    path = write_comparison("Two <models>", entries, tmp_path / "report.html")
    document = path.read_text(encoding="utf-8")
    checker = check_document(document)
    words = text_of(document)
    for expected in (
        "Two <models>",
        "test split, native resolution",
        "not the methods",
        "unet − condseg",
        "hardest by mean Dice",
    ):
        assert expected in words
    assert {"condseg/report.html", "unet/report.html"} <= set(checker.links)
    assert document.count("<img") == 2 * document.count("versus pictures") > 0
    assert len(document) < 3_000_000


def test_different_cases_are_pointed_out(entries, fake, tmp_path):
    few = dict(list(fake.predict(1).items())[:5])
    fake.evaluate(few, entries[1].evaluation, "val")
    words = text_of(write_comparison("t", entries, tmp_path / "report.html").read_text())
    assert "different sets of cases" in words
    assert "different splits" in words


def test_images_that_are_gone(entries, tmp_path):
    listed = entries[0].predictions / "predictions.json"
    listed.write_text(listed.read_text().replace("images/c", "gone/c"))
    (entries[1].predictions / "predictions.json").unlink()
    words = text_of(write_comparison("t", entries, tmp_path / "report.html").read_text())
    assert "gone/c" in words
    assert "no prediction is listed" in words


def test_several_classes(heart, tmp_path):
    run = write_run(heart, tmp_path / "run")
    predictions = write_predictions(heart, tmp_path / "test", 1)
    entry = Entry("only", run, predictions, predictions / "evaluation")
    words = text_of(write_comparison("t", [entry], tmp_path / "report.html").read_text())
    assert "Dice per class" in words
    assert "Case by case" not in words


def test_no_evaluation(entries, tmp_path):
    (entries[0].evaluation / "scores.json").unlink()
    with pytest.raises(DataError, match="scores"):
        write_comparison("t", entries, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_chosen_cases_are_shared_and_explained():
    first = {f"c{at}": at / 10 for at in range(10)}
    second = {**first, "c5": 1.0}
    second.pop("c9")
    chosen = choose_cases([first, second])
    assert list(chosen)[:2] == ["c0", "c1"]
    assert chosen["c5"] == "the models differ most"
    assert "c9" not in chosen
    assert choose_cases([first, {}]) == {}
