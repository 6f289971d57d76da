"""The page that compares runs."""

from __future__ import annotations

import pytest
from fake_run import write_predictions, write_run
from markup import check_document, text_of

from delineate.common.errors import DataError
from delineate.report.compare import Entry, write_comparison
from delineate.report.run import write_run_report
from delineate.report.side_by_side import choose_cases


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
        "test split, protocol native",
        "not the methods",
        "condseg − unet",
        "hardest by mean Dice",
    ):
        assert expected in words
    assert {"condseg/report.html", "unet/report.html"} <= set(checker.links)
    assert document.count("<img") == 2 * document.count("versus pictures") > 0
    assert len(document) < 3_000_000


def test_different_cases_are_refused(entries, fake, tmp_path):
    few = dict(list(fake.predict(1).items())[:5])
    fake.evaluate(few, entries[1].evaluation, "val")
    with pytest.raises(DataError, match=r"different splits.*only in"):
        write_comparison("t", entries, tmp_path / "report.html")


def test_images_that_are_gone(entries, tmp_path):
    listed = entries[0].predictions / "predictions.json"
    listed.write_text(listed.read_text().replace("images/c", "gone/c"))
    (entries[1].predictions / "predictions.json").unlink()
    words = text_of(write_comparison("t", entries, tmp_path / "report.html").read_text())
    assert "gone/c" in words
    assert "no prediction is listed" in words


def test_several_classes(heart, tmp_path):
    entries = []
    for name, shift in (("a", 1), ("b", 2)):
        predictions = write_predictions(heart, tmp_path / name, shift)
        entries.append(Entry(name, write_run(heart, tmp_path / f"run {name}"), predictions, predictions / "evaluation"))
    words = text_of(write_comparison("t", entries, tmp_path / "report.html").read_text())
    assert "Dice per class" in words
    assert "mean over the classes" in words


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
